import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { withoutWhatItNeeds } from "../support/requirements.ts";
import type { RunningProcess } from "../support/running-process.ts";
import { executable } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import type { HostName } from "./cluster.ts";
import { glusterIsMissing, sharedGlusterCluster } from "./gluster.ts";
import { trainByWorkers } from "./many-workers.ts";
import { trainWholeLab } from "./whole-lab.ts";

const missing = glusterIsMissing();
const hosts = ["--hosts", "node01,node02"];

interface Finding {
  readonly check: string;
  readonly subject: string;
  readonly level: string;
  readonly found: string;
}

if (missing !== null) withoutWhatItNeeds(missing)("on a network file system", () => {});
else {
  describe("hosts that share a GlusterFS", () => {
    const theCluster = sharedGlusterCluster();
    const root = (name: string) => join(theCluster().folder, "gluster", name);
    const newRoot = async (name: string) => {
      await theCluster().ask("login", ["mkdir", root(name)]);
      return root(name);
    };
    const tool = (host: HostName, args: readonly string[]) => theCluster().on(host, [executable, ...args]);
    /** Holds a configuration on a host until its input ends. */
    const holdOn = async (
      host: HostName,
      args: readonly string[],
      env: Readonly<Record<string, string>> = {},
    ): Promise<RunningProcess> => {
      const holder = theCluster().start(host, [executable, "run", ...args, "--", "sh", "-c", "echo HELD; cat"], {
        env,
      });
      await holder.waitFor("HELD");
      return holder;
    };

    test("doctor finds cluster-wide locks, and proves them", async () => {
      const place = await newRoot("proved");
      const { stdout, exitCode } = await tool("login", ["doctor", "--root", place, "--json", ...hosts]);
      const { findings } = JSON.parse(stdout) as { findings: Finding[] };
      expect(exitCode, stdout).toBe(0);
      expect(findings.filter(({ found }) => found.includes("lock scope cluster"))).not.toEqual([]);
      const between = findings.filter(({ check }) => check === "locks between hosts");
      expect(between.map(({ subject, level }) => [subject, level])).toEqual([
        ["node01", "ok"],
        ["node02", "ok"],
      ]);
      const proof = JSON.parse(await theCluster().ask("node01", ["cat", join(place, "training_locks/.site.json")]));
      expect(proof).toMatchObject({ format: 1, scope: "cluster" });
      expect(proof.hosts.map(({ hostname }: { hostname: string }) => hostname)).toEqual(["login", "node01", "node02"]);
    }, 60_000);

    test.each([
      [
        "salloc on the login node",
        (call: string) => ["salloc", "-N2", "--quiet", "sh", "-c", call],
        ["node01", "node02"],
      ],
      [
        "srun, in a step of its own",
        (call: string) => ["salloc", "-N2", "-Q", "srun", "-N1", "-n1", "-Q", "sh", "-c", call],
        null,
      ],
      [
        "a batch job",
        (call: string) => [
          "sh",
          "-c",
          'sbatch -N2 --wait --quiet --output="$1" --wrap "$0" >/dev/null; cat "$1"',
          call,
        ],
        null,
      ],
    ] as const)(
      "doctor in an allocation proves its hosts by srun: %s",
      async (how, start, expected) => {
        const place = await newRoot(how.replace(/\W/g, "-"));
        // Without ssh there is only one way.
        await theCluster().ask("node01", ["sh", "-c", `echo 'ssh: { port: 9 }' > ${place}/trainlock.yaml`]);
        const call = `${executable} doctor --root ${place} --json --timeout 30s`;
        const argv = start(call);
        const { stdout, stderr } = await theCluster().on(
          "login",
          how === "a batch job" ? [...argv, `${place}/out`] : argv,
        );
        const { findings } = JSON.parse(stdout) as { findings: Finding[] };
        const of = (check: string) => findings.filter((finding) => finding.check === check);
        expect(
          of("host").map(({ level }) => level),
          stdout + stderr,
        ).not.toContain("fault");
        for (const { found } of of("host")) expect(found).toMatch(/^by srun: node0[12], /);
        const proved = of("locks between hosts");
        expect(proved.map(({ level }) => level)).not.toContain("fault");
        if (expected === null) expect(proved).toHaveLength(1);
        else expect(proved.map(({ subject }) => subject)).toEqual(expected);
        const proof = JSON.parse(await theCluster().ask("node01", ["cat", join(place, "training_locks/.site.json")]));
        expect(proof).toMatchObject({ format: 1, scope: "cluster" });
        expect(proof.hosts).toHaveLength(expected === null ? 2 : 3);
      },
      90_000,
    );

    test("doctor proves that locks stay on each host where they do, and run says so", async () => {
      const place = join(theCluster().shared, "alone");
      await theCluster().ask("login", ["mkdir", place]);
      const { stdout, exitCode } = await tool("login", ["doctor", "--root", place, "--json", ...hosts]);
      const { findings } = JSON.parse(stdout) as { findings: Finding[] };
      expect(exitCode).toBe(1);
      expect(findings.filter(({ level }) => level === "fault").map(({ check }) => check)).toEqual([
        "locks between hosts",
        "locks between hosts",
      ]);
      const of = configuration(place);
      const holder = await holdOn("node01", of.args);
      const words = "its locks were found to stay on each); between hosts the marker excludes";
      expect(holder.stderr().split(words)).toHaveLength(2);
      const turnedAway = await tool("node02", ["run", ...of.args, "--", "true"]);
      expect(turnedAway.exitCode).toBe(75);
      expect(turnedAway.stderr.split(words)).toHaveLength(2);
      holder.closeInput();
      await holder.finished;
    }, 60_000);

    test("a run on one host turns the other's away, its end lets it in", async () => {
      const of = configuration(await newRoot("turns"));
      const holder = await holdOn("node01", of.args);
      const { exitCode, stderr } = await tool("node02", ["run", ...of.args, "--", "true"]);
      expect(exitCode, stderr).toBe(75);
      expect(stderr).toContain("on node01");
      expect(stderr).not.toContain("not known to reach");
      holder.closeInput();
      expect((await holder.finished).exitCode).toBe(0);
      const next = await tool("node02", ["run", ...of.args, "--", "true"]);
      expect(next.exitCode, next.stderr).toBe(0);
    });

    test("a flock that does not return ends run with exit 3", async () => {
      const place = await newRoot("hangs");
      const of = configuration(place);
      await theCluster().ask("node01", ["sh", "-c", `echo 'timeouts: { probe: 1s }' > ${place}/trainlock.yaml`]);
      const strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=flock"];
      const inject = ["-e", "inject=flock:delay_enter=5000000"];
      const { exitCode, stderr } = await theCluster().on("node01", [
        ...[...strace, ...inject, executable],
        ...["run", ...of.args, "--", "true"],
      ]);
      expect(exitCode, stderr).toBe(3);
      expect(stderr).toContain("does not return within 1 s");
    });

    test("of many that start at once on two mounts, one at a time holds the lock", async () => {
      const of = configuration(await newRoot("race"));
      const log = join(of.root, "log");
      // Appends are atomic enough for lines this short only through one open file: each takes a folder of its own instead.
      const script = `mkdir ${log}.here || echo TWICE; sleep 0.02; rmdir ${log}.here`;
      const runs = Array.from({ length: 12 }, (_, index) =>
        tool(index % 2 === 0 ? "node01" : "node02", ["run", ...of.args, "--wait=40s", "--", "sh", "-c", script]),
      );
      for (const { exitCode, stdout, stderr } of await Promise.all(runs)) {
        expect(exitCode, stderr).toBe(0);
        expect(stdout).toBe("");
      }
      const record = JSON.parse(await theCluster().ask("login", ["cat", of.kernelLock]));
      expect(record.trainlock.generation).toBe(12);
    }, 60_000);

    test.each(["flock:when=3", "link:when=1", "rename:when=1", "unlink:when=2", "pwrite64:when=2"])(
      "a run killed at %s is taken over by the other host",
      async (call) => {
        const of = configuration(await newRoot(`crash-${call.replaceAll(/\W/g, "-")}`));
        // The other host has just written the lock file itself: what its caches hold is of no use by now.
        expect((await tool("node02", ["run", ...of.args, "--", "true"])).exitCode).toBe(0);
        const [name = "", when] = call.split(":");
        const kill = ["-e", `trace=${name}`, "-e", `inject=${name}:signal=SIGKILL:${when}`];
        await theCluster().on("node01", [
          ...["strace", "-f", "-qq", "-o", "/dev/null", ...kill, executable],
          ...["run", ...of.args, "--quiet", "--", "true"],
        ]);
        const after = await tool("node02", ["run", ...of.args, "--wait=10s", "--", "true"]);
        expect(after.exitCode, `${call}: ${after.stderr}`).toBe(0);
      },
    );

    test("workers on three hosts share a grid, whoever is killed: each row is trained once", async () => {
      const { killed } = await trainByWorkers(theCluster(), "workers", { rows: 36, onEach: 2, kills: 6 });
      expect(killed).toBeGreaterThan(0);
    }, 240_000);

    test("a lab trains its grid, whatever happens, while its board is open", async () => {
      const size = { strategies: 3, datasets: 2, models: 3, maxRunning: 6, kills: 2 };
      const report = await trainWholeLab(theCluster(), "lab", size);
      expect(report.livingRowsSeen).toBeGreaterThan(0);
    }, 600_000);

    // The last: afterwards there is no node01.
    test("a host that dies gives its locks back: that is enough for a requeued job, and for nobody else", async () => {
      const of = configuration(await newRoot("dies"));
      const holder = await holdOn("node01", of.args, { SLURM_JOB_ID: "4711", SLURM_RESTART_COUNT: "0" });
      expect((await tool("node02", ["run", ...of.args, "--", "true"])).exitCode).toBe(75);
      // Its first process: the kernel ends all others of the host with it, the file system's client among them.
      process.kill(Number(readFileSync(join(theCluster().folder, "node01.pid"), "utf8")), "SIGKILL");
      await holder.finished;
      // It may be cut off from the file server alone, and train on.
      const other = await until(
        "the lock to be free",
        async () => {
          const run = await tool("node02", ["run", ...of.args, "--ssh-timeout", "1s", "--", "true"]);
          return run.stderr.includes("UNKNOWN") ? run : null;
        },
        45_000,
      );
      expect(other).toMatchObject({ exitCode: 75, stderr: expect.stringContaining("UNKNOWN - host not reached") });
      const { exitCode, stdout, stderr } = await theCluster().on(
        "node02",
        [executable, ...["run", ...of.args, "--ssh-timeout", "1s", "--", "sh", "-c", 'echo "$TRAINLOCK_GENERATION"']],
        { env: { SLURM_JOB_ID: "4711", SLURM_RESTART_COUNT: "1" } },
      );
      expect({ exitCode, stdout }, stderr).toEqual({ exitCode: 0, stdout: "2\n" });
    }, 60_000);
  });
}
