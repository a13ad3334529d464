import { afterAll, beforeAll, describe, expect } from "vitest";
import { withoutWhatItNeeds } from "../support/requirements.ts";
import { type Cluster, clusterIsMissing, startCluster } from "./cluster.ts";
import { contentionSuite } from "./contention.ts";
import { cutOffSuite } from "./cut-off.ts";
import { endingsSuite } from "./endings.ts";
import { livingRowsSuite } from "./living-rows.ts";
import { openFilesSuite } from "./open-files.ts";
import { requeuedSuite } from "./requeued.ts";
import { runningSuite } from "./running.ts";
import { schedulersSuite } from "./schedulers.ts";
import { silenceSuite } from "./silence.ts";
import { submitSuite } from "./submit.ts";
import { submitLimitsSuite } from "./submit-limits.ts";
import { workRecipesSuite } from "./work-recipes.ts";

const missing = clusterIsMissing();

// One file, since one cluster serves all: it takes seconds to start.
if (missing !== null) withoutWhatItNeeds(missing)("on a cluster", () => {});
else {
  describe("on a cluster", () => {
    let cluster: Cluster | undefined;
    const theCluster = () => {
      if (cluster === undefined) throw new Error("no cluster");
      return cluster;
    };
    beforeAll(async () => {
      cluster = await startCluster();
    }, 60_000);
    afterAll(async () => {
      expect(await cluster?.stop()).toEqual([]);
    }, 30_000);

    endingsSuite(theCluster);
    openFilesSuite(theCluster);
    requeuedSuite(theCluster);
    cutOffSuite(theCluster);
    schedulersSuite(theCluster);
    contentionSuite(theCluster);
    runningSuite(theCluster);
    silenceSuite(theCluster);
    submitSuite(theCluster);
    livingRowsSuite(theCluster);
    submitLimitsSuite(theCluster);
    workRecipesSuite(theCluster);
  });
}
