import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import type { Cluster } from "./cluster.ts";
import { commandOf, hold, killOn, list, tool, untilState } from "./jobs.ts";

export function silenceSuite(theCluster: () => Cluster): void {
  describe("slurmctld and sshd stopped", () => {
    test("all is unknown, dead holders too; stale once who knows their hosts answers", async () => {
      const cluster = theCluster();
      const root = join(cluster.shared, "silence");
      await cluster.ask("login", ["mkdir", "-p", root]);
      const [ofOwn, ofBash] = [configuration(root, "own", "B", "m"), configuration(root, "bash", "B", "m")];
      const own = await hold(cluster, "trainlock", ofOwn, "node01");
      const bash = await hold(cluster, "noclobber", ofBash, "node01");
      const command = await commandOf(cluster, ofOwn, "node01");
      await killOn(cluster, "node01", own.pid, command, bash.pid);
      for (const { id } of [own, bash]) await untilState(cluster, id, ["FAILED", "CANCELLED"]);

      const limits = ["--ssh-timeout", "1s", "--verify-timeout", "3s", "--hosts", "node01,node02"];
      const controller = (await cluster.ask("login", ["cat", join(cluster.shared, "..", "slurmctld.pid")])).trim();
      await cluster.ask("login", ["kill", "-STOP", controller]);
      cluster.signalSshd("node01", "SIGSTOP");
      try {
        const silent = await list(cluster, root, limits);
        expect(silent.map(({ label }) => label)).toEqual(Array(3).fill("UNKNOWN - remote process"));
        const said = silent.flatMap(({ evidence }) => evidence.map(({ detail }) => detail)).join("\n");
        expect(said).toContain("squeue did not answer in time");
        expect(said).toMatch(/node01 (did not answer in time|does not answer \(timed out\))/);
        const { stderr, stdout } = await cluster.on("login", [
          tool,
          "clear",
          "--root",
          root,
          "--no-dry-run",
          ...limits,
        ]);
        expect(stdout).toMatch(/^No stale locks found/);
        const [silence, ...kept] = stderr.split("\n");
        expect(silence).toBe("trainlock: Slurm gives no evidence: squeue did not answer in time");
        expect(kept.filter((line) => line.startsWith("trainlock: kept "))).toHaveLength(3);
        // A run is turned away by what may be somebody's.
        const run = await cluster.on("login", [tool, "run", ...ofBash.args, ...limits, "--", "true"]);
        expect(run).toMatchObject({ exitCode: 75 });
        cluster.signalSshd("node01", "SIGCONT");
        const withHosts = await list(cluster, root, limits);
        // The bare PID may have been left on a host that only the scheduler knows of.
        expect(withHosts.map(({ name, label }) => `${name}: ${label}`)).toEqual([
          "bash/b/m: UNKNOWN - remote process",
          "own/b/m: STALE - PID not running",
          "own/b/m: STALE - PID not running",
        ]);
      } finally {
        // Whatever failed: all that comes after needs them.
        cluster.signalSshd("node01", "SIGCONT");
        await cluster.ask("login", ["kill", "-CONT", controller]);
      }
      const answered = await list(cluster, root, limits);
      expect(answered.map(({ status }) => status)).toEqual(["stale", "stale", "stale"]);
    }, 60_000);
  });
}
