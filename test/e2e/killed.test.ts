import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const sayGeneration = ["--", "sh", "-c", "echo $TRAINLOCK_GENERATION"];

async function labels(root: string): Promise<string[]> {
  const { stdout } = await trainlock(["list", "--root", root, "--json"]);
  return JSON.parse(stdout).locks.map((lock: { kind: string; label: string }) => `${lock.kind} ${lock.label}`);
}

const gone = (pid: number) => until(`the end of process ${pid}`, () => (isRunning(pid) ? null : true));

test("kill -9 of the wrapper: the command goes on and still holds the lock, until it ends", async () => {
  const of = configuration(await temporaryRoot());
  const holder = await holdWithLastingCommand(of.args);
  holder.kill("SIGKILL");
  expect(await holder.finished).toMatchObject({ signal: "SIGKILL" });

  expect(isRunning(holder.commandPid)).toBe(true);
  expect(await labels(of.root)).toEqual(["file ACTIVE", "fcntl ACTIVE"]);
  expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
  const turnedAway = await trainlock(["run", ...of.args, ...sayGeneration]);
  expect(turnedAway).toMatchObject({ exitCode: 75, stdout: "", stderr: expect.stringMatching(/^SKIP: Another job/) });
  expect(isRunning(holder.commandPid)).toBe(true);

  process.kill(holder.commandPid, "SIGTERM");
  await gone(holder.commandPid);
  expect(await labels(of.root)).toEqual(["file STALE - PID not running", "fcntl STALE - lock not held"]);
  const next = await trainlock(["run", ...of.args, ...sayGeneration]);
  expect(next).toMatchObject({ exitCode: 0, stdout: `${holder.generation + 1}\n` });
});

test("kill -9 of wrapper and command: check says stale is free, the next run takes over with the next generation", async () => {
  const of = configuration(await temporaryRoot());
  const earlier = await trainlock(["run", ...of.args, ...sayGeneration]);
  const holder = await holdWithLastingCommand(of.args);
  expect(holder.generation).toBe(Number(earlier.stdout) + 1);
  holder.kill("SIGKILL");
  process.kill(holder.commandPid, "SIGKILL");
  await Promise.all([holder.finished, gone(holder.commandPid)]);

  expect(await labels(of.root)).toEqual(["file STALE - PID not running", "fcntl STALE - lock not held"]);
  const check = await trainlock(["check", ...of.args]);
  expect(check).toMatchObject({ exitCode: 0, stdout: `FREE ${of.name}\n`, stderr: expect.stringMatching(/stale/i) });

  const next = await trainlock(["run", ...of.args, ...sayGeneration]);
  expect(next).toMatchObject({ exitCode: 0, stdout: `${holder.generation + 1}\n` });
  expect(await trainlock(["list", "--root", of.root])).toMatchObject({ stdout: "No active training locks\n" });
});

test("a process that has left the command's session keeps the lock, unless it may stay without", async () => {
  const of = configuration(await temporaryRoot());
  const leaving = `setsid tail -f --pid=${process.pid} /dev/null >/dev/null 2>&1 & echo $!`;
  const waiting = startTrainlock(["run", ...of.args, "--", "sh", "-c", leaving]);
  await waiting.waitFor("\n");
  const kept = Number(waiting.stdout());
  await until("the wait", () => (waiting.stderr().includes("has ended") ? true : null));
  expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
  process.kill(kept, "SIGKILL");
  expect(await waiting.finished).toMatchObject({ exitCode: 0 });

  const run = await trainlock(["run", ...of.args, "--leftovers", "leave", "--", "sh", "-c", leaving]);
  const left = Number(run.stdout);
  try {
    expect(run).toMatchObject({ exitCode: 0 });
    expect(isRunning(left)).toBe(true);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0, stdout: `FREE ${of.name}\n` });
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
  } finally {
    if (left > 0) process.kill(left, "SIGKILL");
  }
});
