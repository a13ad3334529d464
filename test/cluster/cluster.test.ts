import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, clusterIsMissing, startCluster } from "./cluster.ts";
import { contentionSuite } from "./contention.ts";
import { cutOffSuite } from "./cut-off.ts";
import { endingsSuite } from "./endings.ts";
import { runningSuite } from "./running.ts";
import { schedulersSuite } from "./schedulers.ts";
import { silenceSuite } from "./silence.ts";

const missing = clusterIsMissing();

// One file, since one cluster serves all: it takes seconds to start.
if (missing !== null && process.env.CI !== "true") {
  console.warn(`skipped, needs ${missing}: the tests on a cluster`);
  test.skip("on a cluster");
} else {
  describe("on a cluster", () => {
    let cluster: Cluster | undefined;
    const theCluster = () => {
      if (cluster === undefined) throw new Error(`no cluster${missing === null ? "" : `: needs ${missing}`}`);
      return cluster;
    };
    beforeAll(async () => {
      cluster = await startCluster();
    }, 60_000);
    afterAll(async () => {
      expect(await cluster?.stop()).toEqual([]);
    }, 30_000);

    endingsSuite(theCluster);
    cutOffSuite(theCluster);
    schedulersSuite(theCluster);
    contentionSuite(theCluster);
    runningSuite(theCluster);
    silenceSuite(theCluster);
  });
}
