import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const quoted = (words: readonly string[]) => words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");

/** A call of `run` of the same configuration, for a shell. */
const inner = (of: TestConfiguration, ...rest: readonly string[]) => quoted([executable, "run", ...of.args, ...rest]);

/** Runs a shell script under the lock. */
const under = (of: TestConfiguration, script: string, env: Readonly<Record<string, string>> = {}) =>
  trainlock(["run", ...of.args, "--kill-after", "2s", "--", "bash", "-c", script], { env, timeoutMs: 20_000 });

const says = 'echo "$TRAINLOCK_TOKEN $TRAINLOCK_GENERATION"';
const python = (call: string) =>
  `python3 -c 'import subprocess, sys; sys.exit(subprocess.call(sys.argv[1:], close_fds=True, start_new_session=True))' ${call}`;

/** How an inner run comes about, below the command. */
const ways: Readonly<Record<string, (call: string) => string>> = {
  "called by the command": (call) => call,
  "in the place of the command": (call) => `exec ${call}`,
  "in a session of its own, with closed descriptors": python,
  "below timeout, in a process group": (call) => `timeout 10 ${call}`,
  "with the scheduler's variables of another job": (call) => `env SLURM_JOB_ID=9 ${call}`,
  "as an orphan of a middle process": (call) =>
    `python3 -c 'import os, subprocess, sys
if os.fork(): os._exit(0)
os.closerange(3, 99)
sys.exit(subprocess.call(sys.argv[1:]))' ${call}; sleep 1`,
};

test.each(Object.entries(ways))(
  "a run inside of a run, %s, is under its claim and writes no record",
  async (_, way) => {
    const of = configuration(await temporaryRoot());
    const look = `cat ${quoted([of.kernelLock, of.markerRecord])} | md5sum`;
    const call = inner(
      of,
      "--wait",
      "--",
      "bash",
      "-c",
      `${says}; ${look}; ${quoted([executable])} held; echo held $?`,
    );
    const { exitCode, stdout, stderr } = await under(of, `sleep 0.2; ${says}; ${look}; ${way(call)}`);
    const [outer, before, inside, after, held] = stdout.trim().split("\n");
    expect([exitCode, inside, after, held]).toEqual([0, outer, before, "held 0"]);
    expect(stderr.match(/inside the run of PID \d+/g)).toHaveLength(1);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0 });
    expect(readdirSync(of.lockDir).filter((name) => name !== "history")).toEqual([basename(of.kernelLock)]);
  },
);

test("one inner run at a time: a second is turned away, or waits for the first, which may be deeper", async () => {
  const of = configuration(await temporaryRoot());
  const deep = inner(of, "--", "bash", "-c", inner(of, "--wait", "--", "bash", "-c", "echo first; sleep 1; echo over"));
  const script = `${deep} & sleep 0.6; ${inner(of, "--", "true")}; echo "second $?"
    ${inner(of, "--wait", "--", "echo", "third")}; wait`;
  const { exitCode, stdout, stderr } = await under(of, script);
  expect([exitCode, stdout]).toEqual([0, "first\nsecond 75\nover\nthird\n"]);
  expect(stderr).toContain("SKIP: ");
});

test("an inner run whose wrapper was killed keeps a second one away until its command has ended", async () => {
  const of = configuration(await temporaryRoot());
  const go = join(of.root, "go");
  const long = `echo begun > ${join(of.root, "begun")}; while [ ! -e ${go} ]; do sleep 0.05; done`;
  const script = `${inner(of, "--", "bash", "-c", long)} & first=$!
    while [ ! -e ${join(of.root, "begun")} ]; do sleep 0.05; done; kill -9 $first
    ${inner(of, "--", "true")}; echo "second $?"; : > ${go}; sleep 0.5; ${inner(of, "--wait", "--", "echo", "third")}`;
  expect(await under(of, script)).toMatchObject({ exitCode: 0, stdout: "second 75\nthird\n" });
});

test("an inner run that was killed with its command keeps a second one away while a worker without the lock lives", async () => {
  const of = configuration(await temporaryRoot());
  const [worker, go] = [join(of.root, "worker"), join(of.root, "go")];
  const launcher = `import os, subprocess
p = subprocess.Popen(["sh", "-c", "while [ ! -e ${go} ]; do sleep 0.05; done"], start_new_session=True, env={"PATH": os.defpath})
open("${worker}", "w").write(f"{os.getpid()} {p.pid}")
p.wait()`;
  // By its number in the file of the inner lock: then the worker is noted.
  const noted = `until [ -s ${worker} ] && { read command pid <${worker} || [ -n "$pid" ]; } && grep -qs "\\"pid\\":$pid," ${of.lockDir}/*.inner; do sleep 0.05; done`;
  const script = `${inner(of, "--", "python3", "-c", launcher)} & first=$!
    ${noted}; kill -9 $first $command
    ${inner(of, "--", "true")}; echo "second $?"; ${inner(of, "--wait", "--", "echo", "third")} & : > ${go}; wait $!`;
  const { exitCode, stdout, stderr } = await under(of, script);
  expect([exitCode, stdout]).toEqual([0, "second 75\nthird\n"]);
  const [, pid] = readFileSync(worker, "utf8").split(" ");
  expect(stderr).toContain(`SKIP: Another job (PID: ${pid} on `);
  expect(readdirSync(of.lockDir).filter((name) => name !== "history")).toEqual([basename(of.kernelLock)]);
});

test("ranks inside of a run are one inner run, and each rank may run one", async () => {
  const of = configuration(await temporaryRoot());
  const ranks = (command: readonly string[]) =>
    `export WORLD_SIZE=2; for r in 0 1; do RANK=$r ${inner(of, "--ranks", "job", "--", ...command)} & done; wait`;
  const lines = async (script: string) => (await under(of, script)).stdout.trim().split("\n").sort();
  expect(await lines(ranks(["bash", "-c", "echo $RANK"]))).toEqual(["0", "1"]);
  const deeper = inner(of, "--", "bash", "-c", "echo $RANK");
  expect(await lines(ranks(["bash", "-c", deeper]))).toEqual(["0", "1"]);
  const ranked = inner(of, "--ranks", "job", "--", "bash", "-c", "echo $RANK");
  expect(await lines(ranks(["bash", "-c", ranked]))).toEqual(["0", "1"]);
  const beside = `${ranks(["sleep", "2"]).replace("; wait", "")}; sleep 1; unset WORLD_SIZE
    ${inner(of, "--", "true")}; echo "beside $?"; wait`;
  expect(await lines(beside)).toEqual(["beside 75"]);
});

/** What looks like a run inside of a run, and cannot be one: it would wait for itself. */
const refused: Readonly<Record<string, (call: string) => string>> = {
  "whose variables were removed": (call) => `env -u TRAINLOCK_TOKEN ${call}`,
  "whose environment was cleared, deeper down": (call) => `setsid -w env -i bash -c "${call.replaceAll('"', '\\"')}"`,
};

test.each(Object.entries(refused))("a run inside of a run %s: exit code 2, and no wait", async (_, way) => {
  const of = configuration(await temporaryRoot());
  const { exitCode, stderr } = await under(of, way(inner(of, "--wait", "--", "true")));
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining("this is inside the run that holds it")]);
});

requiresPrograms("unshare --pid", "python3")("in a container below the command, without its descriptors", async () => {
  const of = configuration(await temporaryRoot());
  const call = `unshare --pid --fork --mount-proc ${inner(of, "--wait", "--", "true")}`;
  const { exitCode, stderr } = await under(of, python(call));
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining("this is inside the run that holds it")]);
});

/** Runs what it is asked for as its own child: a daemon that was there before, as srun, docker and tmux have. */
async function daemon(root: string) {
  const calls = join(root, "calls");
  mkdirSync(calls);
  const serve = `while [ -d "$0" ]; do for f in "$0"/*.sh; do [ -e "$f" ] || continue
    bash "$f" >/dev/null 2>"$f.err"; echo $? > "$f.rc"; rm "$f"; done; sleep 0.05; done`;
  startProcess("bash", ["-c", serve, calls], { env: environment(), timeoutMs: 60_000 });
  let count = 0;
  return async (env: Readonly<Record<string, string>>, call: string) => {
    count += 1;
    const path = join(calls, `${count}.sh`);
    const exports = Object.entries(env).map(([name, value]) => `export ${name}=${quoted([value])}`);
    writeFileSync(`${path}.new`, [...exports, call].join("\n"));
    renameSync(`${path}.new`, path);
    const exitCode = await until("the daemon's answer", () => {
      try {
        return readFileSync(`${path}.rc`, "utf8").trim() || null;
      } catch {
        return null;
      }
    });
    return { exitCode: Number(exitCode), stderr: readFileSync(`${path}.err`, "utf8") };
  };
}

test("a daemon's child with the claim's variables: of the same job or host it is refused, of another it is turned away", async () => {
  const root = await temporaryRoot();
  const call = await daemon(root);
  for (const job of [{}, { SLURM_JOB_ID: "7" }]) {
    const of = configuration(root, Object.keys(job).length === 0 ? "alone" : "job");
    const holder = startTrainlock(["run", ...of.args, "--", "sh", "-c", "env; exec cat"], { env: job });
    await holder.waitFor("TRAINLOCK_TOKEN");
    await holder.waitFor("TRAINLOCK_PID");
    const variables = Object.fromEntries(
      holder
        .stdout()
        .split("\n")
        .filter((line) => line.startsWith("TRAINLOCK_"))
        .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
    const same = await call({ ...variables, ...job }, inner(of, "--wait", "--", "true"));
    expect(same).toEqual({ exitCode: 2, stderr: expect.stringContaining("this is inside the run that holds it") });
    // A shell may have nothing of the run but its variables. To train there without the lock would be a second training.
    expect(same.stderr).toContain("`unset TRAINLOCK_TOKEN`");
    const unset = await call({ ...variables, ...job }, `env -u TRAINLOCK_TOKEN ${inner(of, "--", "true")}`);
    expect(unset).toEqual({ exitCode: 75, stderr: expect.stringContaining("SKIP: ") });
    const another = await call({ ...variables, SLURM_JOB_ID: "8" }, inner(of, "--", "true"));
    expect(another).toEqual({ exitCode: 75, stderr: expect.stringContaining("SKIP: ") });
    const waiting = call({ ...variables, SLURM_JOB_ID: "8" }, inner(of, "--wait", "--", "true"));
    holder.closeInput();
    expect(await waiting).toMatchObject({ exitCode: 0 });
  }
});

test("another stage with the same weights dir, inside of a run: exit code 2, because it would wait for itself", async () => {
  const of = configuration(await temporaryRoot());
  const { exitCode, stderr } = await under(of, inner(of, "--stage", "2", "--wait", "--", "true"));
  expect([exitCode, stderr]).toEqual([2, expect.stringContaining("in the same weights dir")]);
});
