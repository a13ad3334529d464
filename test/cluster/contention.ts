import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { until } from "../support/until.ts";
import type { Cluster } from "./cluster.ts";
import { submit, tool } from "./jobs.ts";

const patienceMs = 90_000;

export function contentionSuite(theCluster: () => Cluster): void {
  describe("many jobs at once, on two nodes whose flock does not reach the other", () => {
    /** What jobs left in a folder, a file each: appending to one file from two hosts would lose lines. */
    const left = async (folder: string) => {
      const script = `cd ${folder} && for f in *-*; do [ -e "$f" ] && echo "$f $(cat "$f")"; done; :`;
      const lines = (await theCluster().ask("login", ["sh", "-c", script])).split("\n").filter(Boolean);
      return new Map(lines.map((line) => [line.split(" ")[0] ?? "", line.split(" ")[1] ?? ""]));
    };
    const counted = async (folder: string, prefix: string) =>
      [...(await left(folder))].filter(([name]) => name.startsWith(prefix));

    test("50 for one configuration: one trains, 49 leave", async () => {
      const cluster = theCluster();
      const of = configuration(join(cluster.shared, "fifty"), "s", "B", "m");
      const log = join(of.root, "log");
      await cluster.ask("login", ["mkdir", "-p", log]);
      // It goes on until all others have come and gone.
      const training = `echo $$ >${log}/trained-$SLURM_ARRAY_TASK_ID; until [ -e ${of.root}/enough ]; do sleep 0.2; done`;
      const script = `${tool} run ${of.args.join(" ")} -- sh -c '${training}' 2>${log}/.$SLURM_ARRAY_TASK_ID; echo $?:$(hostname) >${log}/exit-$SLURM_ARRAY_TASK_ID`;
      await submit(cluster, `bash -c ${quoted(script)}`, ["--array=1-50"]);

      const exits = async () => (await counted(log, "exit-")).filter(([, said]) => said !== "");
      await until("49 have left", async () => ((await exits()).length >= 49 ? true : null), patienceMs);
      expect(await counted(log, "trained-")).toHaveLength(1);
      await cluster.ask("login", ["touch", `${of.root}/enough`]);
      await until("the last has trained", async () => ((await exits()).length === 50 ? true : null), patienceMs);

      const codes = (await exits()).map(([, left]) => left.split(":")[0]);
      const complaints = await cluster.ask("login", [
        "sh",
        "-c",
        `cd ${log}; grep -hv ^SKIP: .[0-9]* | sort | uniq -c`,
      ]);
      expect(
        codes.filter((code) => code === "75"),
        complaints,
      ).toHaveLength(49);
      expect(codes.filter((code) => code === "0")).toHaveLength(1);
      expect(new Set((await exits()).map(([, left]) => left.split(":")[1]))).toEqual(new Set(["node01", "node02"]));
      expect(await counted(log, "trained-")).toHaveLength(1);
    }, 120_000);

    test("an array of 20 configurations, three times each: each is trained once", async () => {
      const cluster = theCluster();
      const root = join(cluster.shared, "array");
      const log = join(root, "log");
      await cluster.ask("login", ["mkdir", "-p", log]);
      const args = `--root ${root} --strategy s --dataset B --model m$((SLURM_ARRAY_TASK_ID % 20)) --done-when iter_80000.pth`;
      const training = `sleep 1; head -c 2048 /dev/zero >$TRAINLOCK_WEIGHTS_DIR/iter_80000.pth; : >${log}/trained-$SLURM_ARRAY_TASK_ID`;
      const script = `${tool} run ${args} -- sh -c '${training}'; echo $?:$(hostname) >${log}/exit-$SLURM_ARRAY_TASK_ID`;
      await submit(cluster, `bash -c ${quoted(script)}`, ["--array=0-59"]);

      const exits = async () => (await counted(log, "exit-")).filter(([, said]) => said !== "");
      await until("all 60 are over", async () => ((await exits()).length === 60 ? true : null), patienceMs);

      expect(new Set((await exits()).map(([, left]) => left.split(":")[0]))).toEqual(new Set(["0", "75"]));
      const trained = (await counted(log, "trained-")).map(([name]) => Number(name.split("-")[1]) % 20);
      expect(trained.sort((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n));
    }, 120_000);
  });
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
