import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";

const isFree = async (of: TestConfiguration) => (await trainlock(["check", ...of.args])).exitCode === 0;

describe("what a command leaves in its session", () => {
  test("is named and keeps the lock until it has ended by itself", async () => {
    const of = configuration(await temporaryRoot());
    const leaving = "(until [ -e $GO ]; do sleep 0.05; done) >/dev/null 2>&1 & echo left $!; exit 5";
    const go = join(of.root, "go");
    const run = startTrainlock(["run", ...of.args, "--", "sh", "-c", leaving], { env: { GO: go } });
    await run.waitFor("left");
    const pid = Number(/left (\d+)/.exec(run.stdout())?.[1]);
    expect(await isFree(of)).toBe(false);
    await writeFile(go, "");
    const finished = await run.finished;
    expect(finished).toMatchObject({ exitCode: 5 });
    expect(finished.stderr).toMatch(new RegExp(`left sh -c .*\\(PID ${pid}\\)`));
    expect(await isFree(of)).toBe(true);
  });

  test("is ended after --kill-after", async () => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, "--kill-after", "0.3s", "--", "sh", "-c", "sleep 1000 & echo $!"]);
    expect(run).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/killing sleep 1000 \(PID \d+\)/) });
    expect(isRunning(Number(run.stdout))).toBe(false);
    expect(await isFree(of)).toBe(true);
  });
});

requiresPrograms("bash")(
  "the command has the descriptors that trainlock was given, and the lock's besides",
  async () => {
    const of = configuration(await temporaryRoot());
    const run = [executable, "run", ...of.args, "--"].join(" ");
    const script = `exec 7<<<seven; list='for fd in /proc/$$/fd/*; do readlink $fd; done'
    bash -c "$list" </dev/null 2>&1 | sort >${of.root}/without; ${run} bash -c "$list" </dev/null 2>&1 | sort >${of.root}/with
    ${run} cat <(echo substituted); ${run} cat /dev/fd/7`;
    const { stdout, stderr } = await finish("bash", ["-c", script], { env: environment() });
    expect({ stdout, stderr }).toEqual({ stdout: "substituted\nseven\n", stderr: "" });
    const lines = async (name: string) => (await readFile(join(of.root, name), "utf8")).trim().split("\n");
    const kinds = (targets: string[]) => targets.map((target) => target.replace(/\[\d+\]/, "[]"));
    const [without, beneath] = [kinds(await lines("without")), kinds(await lines("with"))];
    expect(beneath).toHaveLength(without.length + 1);
    expect(beneath.filter((target) => !without.includes(target))).toEqual([of.kernelLock]);
  },
);

describe("--status", () => {
  async function statusOf(options: readonly string[], command: readonly string[], of: TestConfiguration) {
    const folder = await temporaryRoot();
    const path = join(folder, "status.json");
    const run = await trainlock(["run", ...of.args, "--status", path, ...options, "--", ...command]);
    const status = JSON.parse(await readFile(path, "utf8"));
    expect(status.exitCode).toBe(run.exitCode);
    expect(await readdir(folder)).toEqual(["status.json"]);
    return status;
  }
  const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:.]+$/);

  test("an exit code, a signal, a core dump, a command that is not there", async () => {
    const of = configuration(await temporaryRoot());
    const common = { started: time, ended: time, reason: "ended", holder: null };
    expect(await statusOf([], ["sh", "-c", "exit 7"], of)).toMatchObject({ ...common, exitCode: 7, signal: null });
    expect(await statusOf([], ["sh", "-c", "kill $$"], of)).toMatchObject({
      ...common,
      exitCode: 143,
      signal: "SIGTERM",
    });
    const dump = await statusOf([], ["sh", "-c", "cd /tmp; ulimit -c 0; kill -ABRT $$"], of);
    expect(dump).toMatchObject({ ...common, exitCode: 134, signal: "SIGABRT" });
    const absent = await statusOf([], ["no-such-command-anywhere"], of);
    expect(absent).toMatchObject({ reason: "not started", started: null, exitCode: 127 });
  });

  test("locked: with the holder; waited in vain; already trained", async () => {
    const of = configuration(await temporaryRoot());
    const training = ["sh", "-c", ': >"$TRAINLOCK_WEIGHTS_DIR/last.pth"'];
    expect(await statusOf(["--done-file", "ok.json"], training, of)).toMatchObject({ reason: "ended", exitCode: 0 });
    expect(await statusOf(["--done-file", "ok.json"], ["true"], of)).toMatchObject({
      reason: "done",
      detail: "ok.json",
    });
    const holder = await holdWithRun(of.args);
    const locked = await statusOf([], ["true"], of);
    expect(locked).toMatchObject({ reason: "locked", started: null, exitCode: 75, holder: { pid: holder.pid } });
    expect(await statusOf(["--wait=0.1", "--on-locked=skip"], ["true"], of)).toMatchObject({
      reason: "locked",
      exitCode: 0,
    });
  });

  test("a folder that is not there: exit code 3, and nothing is started", async () => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, "--status", join(of.root, "no/where"), "--", "echo", "started"]);
    expect(run).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining("ENOENT") });
  });
});

describe("--done-file", () => {
  test("is written after success alone, and then there is nothing to do", async () => {
    const of = configuration(await temporaryRoot());
    const run = (code: number) =>
      trainlock([
        "run",
        ...of.args,
        "--done-file",
        "trained.json",
        "--",
        "sh",
        "-c",
        `echo ran | tee "$TRAINLOCK_WEIGHTS_DIR/log"; exit ${code}`,
      ]);
    expect(await run(1)).toMatchObject({ exitCode: 1, stdout: "ran\n" });
    expect(await run(0)).toMatchObject({ exitCode: 0, stdout: "ran\n" });
    const written = JSON.parse(await readFile(join(of.weightsDir, "trained.json"), "utf8"));
    expect(written).toMatchObject({ generation: 2, exitCode: 0, configuration: { strategy: of.strategy } });
    expect(await run(0)).toMatchObject({ exitCode: 0, stdout: "", stderr: expect.stringContaining("trained.json") });
  });

  test.each(["a/b", "..", "", ".training_lock", ".training_lock.json"])("%j is no name for one", async (name) => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, "--done-file", name, "--", "true"]);
    expect(run).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--done-file") });
  });
});

test("--done-min-size, and several patterns", async () => {
  const of = configuration(await temporaryRoot());
  await trainlock(["run", ...of.args, "--", "true"]);
  await writeFile(join(of.weightsDir, "last.pth"), Buffer.alloc(2048));
  const run = async (size: string) => {
    const patterns = ["--done-when", "iter_*.pth", "--done-when", "last.pth", "--done-min-size", size];
    return (await trainlock(["run", ...of.args, ...patterns, "--", "echo", "ran"])).stdout;
  };
  expect(await run("2K")).toBe("");
  expect(await run("2049")).toBe("ran\n");
  expect(await run("1MiB")).toBe("ran\n");
});
