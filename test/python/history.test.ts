import { appendFileSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { python, pythonFolder, pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("python3");
const site = async () => configuration(await temporaryRoot());
const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);

function eventFile(of: TestConfiguration): string {
  const month = new Date().toISOString().slice(0, 7);
  return join(of.lockDir, "history", `${hostname()}-${process.getuid?.()}`, `${month}-${boot}.jsonl`);
}

const events = (of: TestConfiguration): Record<string, unknown>[] =>
  readFileSync(eventFile(of), "utf8")
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line));

/** `STATE EXIT` of each run, as `trainlock history` has them. */
async function runs(of: TestConfiguration): Promise<string[]> {
  const { stdout, stderr } = await trainlock(["history", "--root", of.root, "--tsv", "-o", "state,exit"]);
  expect(stderr).toBe("");
  return stdout
    .split("\n")
    .slice(1)
    .filter((line) => /^[a-z]/.test(line))
    .map((line) => line.replace("\t", " ").trim());
}

test("each claim and its end: by `with`, by release, and with what tells it from every other", async () => {
  const of = await site();
  const program = pythonSession(of.root, { env: { SLURM_JOB_ID: "4711", CUDA_VISIBLE_DEVICES: "0,3" } });
  await program.tell("with lock: (lock.weights_dir / 'iter_1.pth').write_text('x')");
  await program.raised("with lock: raise ValueError");
  await program.tell("lock.acquire(), lock.release()");
  await program.tell("lock.acquire(), lock.release(done=True)");
  const found = events(of);
  expect(found.map(({ event }) => event)).toEqual(Array.from({ length: 4 }, () => ["claimed", "ended"]).flat());
  const { pid } = program.process;
  const [claimed, ended] = found;
  const common = { token: claimed?.token, generation: 1, name: of.name, host: hostname(), pid, job: "4711", gpus: 2 };
  expect(claimed).toMatchObject({ event: "claimed", ...common, attempt: 1 });
  expect(ended).toMatchObject({
    event: "ended",
    ...common,
    attempt: 1,
    end: "done",
    exit: 0,
    checkpoint: "iter_1.pth",
  });
  expect(ended?.command).toEqual(claimed?.command);
  expect(found[3]).toMatchObject({ end: "failed", exit: 1, attempts: 1 });
  expect(found[5]).toMatchObject({ end: null, seconds: expect.any(Number) });
  expect(await runs(of)).toEqual(["done 0", "failed 1", "no-end", "done 0"]);
});

test("a killed program is noted by who takes its lock over; a lost lock by who had it; a refusal once", async () => {
  const of = await site();
  const killed = pythonSession(of.root);
  await killed.tell("lock.acquire()");
  killed.process.kill("SIGKILL");
  await killed.process.finished;
  const next = pythonSession(of.root);
  await next.tell("lock.acquire()");
  const turnedAway = pythonSession(of.root);
  for (let time = 0; time < 2; time += 1) expect(await turnedAway.tell("lock.acquire(True, 0.3)")).toBe(false);
  expect(await next.tell("TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()")).toBe(false);
  rmSync(of.marker);
  writeFileSync(of.marker, "1\n");
  expect(await next.raised("lock.assert_held()")).toMatch(/^LockLost/);
  await next.tell("lock.release()");
  const [claimed, takenOver, again, refused, lost, ended, ...more] = events(of);
  expect(more).toEqual([]);
  expect(takenOver).toMatchObject({ event: "taken-over", of: claimed?.token, from: { pid: killed.process.pid } });
  expect(again).toMatchObject({ event: "claimed", generation: 2 });
  expect(refused).toMatchObject({ event: "refused", pid: turnedAway.process.pid, holder: { pid: next.process.pid } });
  expect(lost).toMatchObject({ event: "lost", token: again?.token, why: expect.stringContaining("another's") });
  expect(ended).toMatchObject({ event: "ended", token: again?.token, end: null });
  expect(await runs(of)).toEqual(["interrupted", "interrupted"]);
});

test("run turns a Python program away, and a program that trains under run notes nothing of its own", async () => {
  const of = await site();
  const holder = await holdWithRun(of.args);
  expect(await pythonSession(of.root).tell("lock.acquire()")).toBe(false);
  holder.closeInput();
  await holder.finished;
  const names = ["claimed", "refused", "ended"];
  expect(events(of).map(({ event }) => event)).toEqual(names);
  const script = "from training_lock import *\nwith TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50'): pass";
  await trainlock(["run", ...of.args, "--", "python3", "-c", script], {
    env: { AWARE_DATA_ROOT: of.root, TRAINLOCK_BIN: executable, PYTHONPATH: pythonFolder },
  });
  expect(events(of).map(({ event }) => event)).toEqual([...names, "claimed", "ended"]);
});

test("a torn line, a file that others can link to, a folder that is forbidden or gone: the lock is taken and released", async () => {
  const of = await site();
  const program = pythonSession(of.root);
  await program.tell("lock.acquire()");
  appendFileSync(eventFile(of), '{"at":"torn');
  await program.tell("lock.release()");
  const lines = readFileSync(eventFile(of), "utf8").split("\n");
  expect(lines.slice(1)).toEqual(['{"at":"torn', expect.stringMatching(/^\{"at":.*"event":"ended"/), ""]);
  await program.tell("lock.acquire()");
  rmSync(eventFile(of));
  await program.tell("lock.release()");
  expect(events(of)).toMatchObject([{ event: "ended" }]);
  expect(statSync(eventFile(of)).mode & 0o022).toBe(0);
  const history = join(of.lockDir, "history");
  rmSync(history, { recursive: true });
  await program.tell("lock.acquire()");
  rmSync(history, { recursive: true });
  await program.tell("lock.release()");
  writeFileSync(history, "no folder");
  expect(await program.tell("[(lock.acquire(), lock.release()) for _ in range(2)]")).toEqual([
    [true, null],
    [true, null],
  ]);
  const said = () => program.process.stderr().match(/the history is not complete: .*/g);
  expect(await until("the line that says so", said)).toHaveLength(1);
});

test("`history: off` keeps none", async () => {
  const of = await site();
  writeFileSync(join(of.root, "trainlock.yaml"), "history: off\n");
  const script = "from training_lock import *\nwith TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50'): pass";
  expect(await python(of.root, script)).toMatchObject({ exitCode: 0, stderr: "" });
  expect(() => events(of)).toThrow(/ENOENT/);
});
