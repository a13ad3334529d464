import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Cluster, clusterIsMissing, startCluster } from "../cluster/cluster.ts";
import { glusterIsMissing, mountGluster } from "../cluster/gluster.ts";
import { submit, tool, untilState } from "../cluster/jobs.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { withoutWhatItNeeds } from "../support/requirements.ts";
import { until } from "../support/until.ts";
import { type ClusterSituation, onCluster } from "./on-cluster.ts";
import { type Answers, faultsIn } from "./situation.ts";

const staging = fileURLToPath(new URL("staging.sh", import.meta.url));
const peers = fileURLToPath(new URL("../support/peers", import.meta.url));

/** Every sixth, unless all are wanted: `npm run test:situations`. */
const chosen = process.env.TRAINLOCK_SITUATIONS === "all" ? onCluster : onCluster.filter((_, at) => at % 6 === 0);

const missing = clusterIsMissing();
if (missing !== null) withoutWhatItNeeds(missing)("situations on a cluster", () => {});
else {
  onEach("a folder of which nothing is known", chosen, async ({ shared }) => shared);
  if (process.env.TRAINLOCK_SITUATIONS === "all") {
    const without = glusterIsMissing();
    if (without !== null) withoutWhatItNeeds(without)("situations on a GlusterFS", () => {});
    else
      onEach("a GlusterFS", onCluster, async (cluster) => {
        await mountGluster(cluster);
        return join(cluster.folder, "gluster");
      });
  }
}

function onEach(
  place: string,
  situations: readonly ClusterSituation[],
  mount: (cluster: Cluster) => Promise<string>,
): void {
  describe(`on a cluster of three hosts that share ${place}`, () => {
    let cluster: Cluster | undefined;
    let folder = "";
    beforeAll(async () => {
      cluster = await startCluster();
      folder = await mount(cluster);
    }, 120_000);
    afterAll(async () => {
      expect(await cluster?.stop()).toEqual([]);
    }, 30_000);
    situations.forEach((one, at) => {
      test(`${one.truth}: ${one.says}`, async () => {
        if (cluster === undefined) throw new Error("no cluster");
        await meet(cluster, one, join(folder, `situation-${at}`));
      }, 60_000);
    });
  });
}

async function meet(cluster: Cluster, one: ClusterSituation, root: string): Promise<void> {
  const of = configuration(root);
  const { id, notes } = await stage(cluster, one, of);
  try {
    for (const step of one.then) await afterwards(cluster, step, id);
    expect(faultsIn(one, await ask(cluster, of, one.settings)).join("\n")).toBe("");
  } finally {
    cluster.plug("node01", "up");
    if (id !== null) await cluster.on("login", ["scancel", id]);
    // On a host of the test's own.
    const end = `while read -r pid start; do kill -9 "$pid"; done 2>/dev/null <${notes}/pids`;
    await cluster.on("node01", ["sh", "-c", end]);
  }
}

async function stage(cluster: Cluster, { stage: lines, outside }: ClusterSituation, of: TestConfiguration) {
  const notes = `${of.root}-notes`;
  const variables = {
    ...{ T: tool, A: of.args.join(" "), R: of.root, W: of.weightsDir, M: of.marker, L: of.kernelLock },
    ...{ J: of.markerRecord, S: notes, P: peers, STAGING: staging },
  };
  const exported = Object.entries(variables).map(([key, value]) => `export ${key}='${value}'`);
  const pids = 'export PIDS="$(readlink /proc/self/ns/pid)"';
  const script = [
    "exec </dev/null >/dev/null 2>&1",
    ...exported,
    pids,
    '. "$STAGING"',
    // What holds is deaf to the first signal of a scheduler, as a training deep in a library is.
    "trap '' TERM",
    lines,
    "rest",
  ].join("\n");
  const file = `${notes}/script`;
  await cluster.ask("node01", ["mkdir", "-p", of.root, notes]);
  await cluster.ask("node01", ["sh", "-c", 'printf "%s\\n" "$1" >"$2"', "sh", script, file]);
  const id = outside ? null : await submit(cluster, `exec bash ${file}`, ["--nodelist=node01"]);
  if (outside) await cluster.ask("node01", ["setsid", "--fork", "bash", file]);
  const ready = join(notes, "ready");
  await until(
    "the situation is staged",
    async () => ((await cluster.on("node01", ["test", "-e", ready])).exitCode === 0 ? true : null),
    30_000,
  );
  return { id, notes };
}

async function afterwards(cluster: Cluster, step: ClusterSituation["then"][number], id: string | null): Promise<void> {
  switch (step) {
    case "cut off":
      return cluster.plug("node01", "down");
    case "suspend":
      await cluster.ask("login", ["scontrol", "suspend", `${id}`]);
      await untilState(cluster, `${id}`, ["SUSPENDED"]);
      return;
    case "cancel":
      await cluster.ask("login", ["scancel", `${id}`]);
      await untilState(cluster, `${id}`, ["CANCELLED"]);
      return;
    case "requeue":
      await cluster.ask("login", ["scontrol", "update", `jobid=${id}`, "requeue=1"]);
      await cluster.ask("login", ["scontrol", "requeuehold", `${id}`]);
      await untilState(cluster, `${id}`, ["PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT"]);
      return;
    case "its job fails":
      await untilState(cluster, `${id}`, ["FAILED", "CANCELLED", "COMPLETED"]);
  }
}

/** From login, as people do. */
async function ask(cluster: Cluster, of: TestConfiguration, env: ClusterSituation["settings"]): Promise<Answers> {
  const call = (args: readonly string[]) => cluster.on("login", [tool, ...args], { timeoutMs: 20_000, env });
  const patience = ["--ssh-timeout", "1s"];
  const list = await call(["list", "--root", of.root, "--json", ...patience]);
  const check = await call(["check", ...of.args, ...patience]);
  const run = await call(["run", ...of.args, ...patience, "--", "true"]);
  const listed = list.stdout === "" ? [] : (JSON.parse(list.stdout) as { locks: Answers["listed"] }).locks;
  return { check: check.exitCode, run: run.exitCode, listed };
}
