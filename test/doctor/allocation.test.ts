import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { allocationOf, otherHostsOf } from "../../src/doctor/allocation.ts";
import { remoteShell } from "../../src/doctor/remote-shell.ts";
import { emptySiteConfig } from "../../src/site/site-config.ts";
import { thisHost } from "../../src/system/processes/this-host.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

type Case = readonly [env: Record<string, string>, launcher: string | null, hosts: readonly string[]];

test.each<Case>([
  [{}, null, []],
  [{ SLURM_JOB_ID: "1" }, null, []],
  [{ SLURM_JOB_ID: "1", SLURM_JOB_NODELIST: "node[01-02],big" }, "srun", ["node01", "node02", "big"]],
  [{ LSB_JOBID: "1", LSB_MCPU_HOSTS: "hosta 2 hostb 1 " }, "blaunch", ["hosta", "hostb"]],
  [{ LSB_JOBID: "1", LSB_HOSTS: "hosta hosta hostb" }, "blaunch", ["hosta", "hostb"]],
  [{ LSB_JOBID: "1" }, null, []],
])("%j: %s, %j", (env, launcher, hosts) => {
  const allocation = allocationOf(env);
  expect(allocation?.launcher ?? null).toBe(launcher);
  expect(otherHostsOf(allocation)).toEqual(hosts);
});

test("this host is none of the others", () => {
  const env = { LSB_JOBID: "1", LSB_MCPU_HOSTS: `${thisHost().hostname} 4 hostb 4` };
  expect(otherHostsOf(allocationOf(env))).toEqual(["hostb"]);
});

test("a host outside of the allocation is reached by ssh, as its launcher cannot", async () => {
  const bin = await temporaryRoot();
  for (const name of ["srun", "blaunch"]) writeFileSync(join(bin, name), "#!/bin/sh\n", { mode: 0o755 });
  const slurm = { PATH: bin, SLURM_JOB_ID: "1", SLURM_JOB_NODELIST: "node[01-02]" };
  expect(remoteShell("node02", emptySiteConfig, slurm)?.how).toBe("srun");
  expect(remoteShell("node03", emptySiteConfig, slurm)?.how).toBe("ssh");
  const lsf = { PATH: bin, LSB_JOBID: "1", LSB_HOSTS: "node01 node02" };
  expect(remoteShell("node02", emptySiteConfig, lsf)?.how).toBe("blaunch");
  expect(remoteShell("node03", emptySiteConfig, lsf)?.how).toBe("ssh");
});

/** As documented: the words go to a shell of the other host, which puts them together again; input is passed on, unless `-n`. */
const blaunch = `#!/bin/sh
echo "$@" >>"$STAND_IN_LOG"
host=$1; shift
# Another host is another boot id, whatever else it shares with this one.
exec unshare --mount --uts sh -c 'mount --bind "$0" /proc/sys/kernel/random/boot_id; hostname "$1"; exec sh -c "$2"' \\
  "$STAND_IN_BOOT" "$host" "$*"
`;

async function inLsfJob(program: string, withinIn: (root: string) => readonly string[] = () => []) {
  const folder = await temporaryRoot();
  // A quote and a space on the way: every shell that reads the line has to be told.
  const root = join(folder, "it's a root");
  const bin = join(folder, "bin");
  for (const made of [root, bin]) mkdirSync(made);
  writeFileSync(join(bin, "blaunch"), program);
  chmodSync(join(bin, "blaunch"), 0o755);
  writeFileSync(join(folder, "boot"), "11111111-2222-4333-8444-555555555555\n");
  const job = { LSB_JOBID: "7", LSB_MCPU_HOSTS: `${thisHost().hostname} 1 hostb 1` };
  const standIn = { STAND_IN_LOG: join(folder, "log"), STAND_IN_BOOT: join(folder, "boot") };
  const env = { ...job, ...standIn, PATH: `${bin}:${process.env.PATH}` };
  const within = withinIn(root);
  const call = async (...args: readonly string[]) => {
    const [file = "", ...rest] = [...within, executable, ...args];
    return finish(file, rest, { env: environment(env), timeoutMs: 30_000 });
  };
  const { stdout } = await call("doctor", "--root", root, "--json");
  const { findings } = JSON.parse(stdout) as {
    findings: { check: string; subject: string; level: string; found: string }[];
  };
  const log = readFileSync(join(folder, "log"), "utf8").trim().split("\n");
  return { root, call, log, of: (name: string) => findings.filter(({ check }) => check === name) };
}

requiresPrograms("root", "flock")("in a job of LSF its hosts are asked by blaunch, without --hosts", async () => {
  const { log, of } = await inLsfJob(blaunch);
  expect(of("host")).toMatchObject([{ subject: "hostb", level: "ok" }]);
  expect(of("host")[0]?.found).toMatch(/^by blaunch: hostb, /);
  expect(of("locks between hosts")).toMatchObject([{ subject: "hostb", level: "ok" }]);
  for (const call of log) expect(call).toMatch(/^hostb \/bin\/sh -c /);
});

requiresPrograms("root", "flock")(
  "a launcher that passes no input on proves nothing, and does not accuse the locks",
  async () => {
    const { of } = await inLsfJob(blaunch.replace("host=$1", "exec </dev/null; host=$1"));
    expect(of("locks between hosts")).toMatchObject([{ level: "fault" }]);
    expect(of("locks between hosts")[0]?.found).toBe("holding the lock there failed: the holder ended by itself");
    expect(of("proof")).toEqual([]);
  },
);

requiresPrograms(
  "root",
  "flock",
  "perl",
)("a file system that refuses locks on all hosts has its marker-only claims proved", async () => {
  // By its mount it would have locks; only by trying is it known that it has none.
  const refusing = (root: string) => lustreWithoutLocks(root, "rw,localflock").toldAndTrue;
  const { root, call, of } = await inLsfJob(blaunch, refusing);
  expect(of("locks between hosts")).toMatchObject([{ subject: "hostb", level: "warning" }]);
  expect(of("proof")).toMatchObject([{ level: "ok" }]);
  expect(JSON.parse(readFileSync(join(root, "training_locks/.site.json"), "utf8"))).toMatchObject({ scope: "none" });
  const run = ["run", "--root", root, "--strategy", "a", "--dataset", "b", "--model", "c", "--", "echo", "trained"];
  const ended = await call(...run);
  expect(ended).toMatchObject({ exitCode: 0, stdout: "trained\n" });
  expect(ended.stderr).toContain("its locks were found to be refused); the marker alone excludes");
});

requiresPrograms(
  "root",
  "flock",
  "perl",
)("hosts that do not agree prove nothing: run is refused as before", async () => {
  const refusing = (root: string) => lustreWithoutLocks(root, "rw,localflock").toldAndTrue;
  // There flock(1) succeeds.
  const other = 'mkdir "$0.d"; printf "#!/bin/sh\n" >"$0.d/flock"; chmod 755 "$0.d/flock"; PATH="$0.d:$PATH"';
  const disagreeing = blaunch.replace('hostname "$1";', `hostname "$1"; ${other};`);
  const { root, call, of } = await inLsfJob(disagreeing, refusing);
  expect(of("locks between hosts")).toMatchObject([{ subject: "hostb", level: "fault" }]);
  expect(of("proof")).toEqual([]);
  const run = ["run", "--root", root, "--strategy", "a", "--dataset", "b", "--model", "c", "--", "echo", "trained"];
  expect(await call(...run)).toMatchObject({ exitCode: 3, stdout: "" });
});
