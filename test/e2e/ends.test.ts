import { mkdirSync, readFileSync, rmdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { replaceFile } from "../support/replace-file.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const endsIn = (path: string) => JSON.parse(readFileSync(path, "utf8")).trainlock.ends;

async function newConfiguration(): Promise<TestConfiguration> {
  const of = configuration(await temporaryRoot());
  mkdirSync(of.weightsDir, { recursive: true });
  return of;
}

/** Runs a script under the lock. What it prints, and how its owner record then says the runs ended. */
async function run(of: TestConfiguration, script: string, ...options: string[]) {
  const { stdout, exitCode } = await trainlock(["run", ...of.args, ...options, "--", "bash", "-c", script]);
  const ends = endsIn(of.markerRecord);
  // Both records say the same, whichever the next one finds.
  expect(endsIn(of.kernelLock)).toEqual(ends);
  return { stdout, exitCode, ends };
}

/** Starts a script, waits for its word, sends signals to `run`, and reads the record once all is over. */
async function stop(of: TestConfiguration, script: string, signals: NodeJS.Signals[], ...options: string[]) {
  const running = startTrainlock(["run", ...of.args, ...options, "--", "bash", "-c", script]);
  await running.waitFor("READY\n");
  for (const signal of signals) running.kill(signal);
  await running.finished;
  return endsIn(of.markerRecord);
}

/** A run that is killed together with its wrapper, as by a power cut. */
async function kill(of: TestConfiguration): Promise<void> {
  const holder = await holdWithLastingCommand(of.args);
  await until(
    "the command is in the record",
    () => readFileSync(of.kernelLock, "utf8").includes(`"child_pid": ${holder.commandPid}`) || null,
  );
  holder.kill("SIGKILL");
  process.kill(holder.commandPid, "SIGKILL");
  await holder.finished;
}

const checkpoint = 'head -c 2000 /dev/zero > "$TRAINLOCK_WEIGHTS_DIR/iter_8.pth"';

describe("how a run ended stands in its owner record", () => {
  test.each([
    ["exit code 0", "exit 0", [], { lastEnd: "done", lastExit: 0, attempts: 0 }],
    ["its own exit code", "exit 3", [], { lastEnd: "failed", lastExit: 3, attempts: 1 }],
    ["a crash", "kill -SEGV $$", [], { lastEnd: "failed", lastExit: 139, attempts: 1 }],
    ["a kill that run had no part in", "kill -KILL $$", [], { lastEnd: "failed", lastExit: 137, attempts: 1 }],
    ["a signal of its own", "kill -TERM $$", [], { lastEnd: "failed", lastExit: 143, attempts: 1 }],
    ["127 of a shell", "no-such-program", [], { lastEnd: "failed", lastExit: 127, attempts: 0 }],
    [
      "0 without its checkpoint",
      "exit 0",
      ["--done-when", "iter_8.pth"],
      { lastEnd: "failed", lastExit: 0, attempts: 1 },
    ],
    ["0 with its checkpoint", checkpoint, ["--done-when", "iter_8.pth"], { lastEnd: "done", lastExit: 0, attempts: 0 }],
    [
      "1 with its checkpoint",
      `${checkpoint}; exit 1`,
      ["--done-when", "iter_8.pth"],
      { lastEnd: "failed", lastExit: 1 },
    ],
  ] as const)("%s", async (_, script, options, { lastEnd, lastExit, ...rest }) => {
    const { ends } = await run(await newConfiguration(), script, ...options);
    expect(ends).toMatchObject({ last_end: lastEnd, last_exit: lastExit, ...rest });
    expect(ends.seconds).toBeGreaterThanOrEqual(0);
  });

  test("a command that is not there, or that may not be executed", async () => {
    const of = await newConfiguration();
    await trainlock(["run", ...of.args, "--", "/no/such/program"]);
    expect(endsIn(of.markerRecord)).toMatchObject({ last_end: "failed", last_exit: 127, attempts: 0 });
    await trainlock(["run", ...of.args, "--", "/etc/passwd"]);
    expect(endsIn(of.markerRecord)).toMatchObject({ last_end: "failed", last_exit: 126, attempts: 0 });
  });
});

requiresPrograms("memory cgroup", "python3")("the OOM killer makes it a failed attempt", async () => {
  const of = await newConfiguration();
  const group = `/sys/fs/cgroup/memory/trainlock-${process.pid}`;
  const limits = ["memory.limit_in_bytes", "memory.memsw.limit_in_bytes"];
  const set = limits.map((name) => `{ echo 40000000 > ${group}/${name}; } 2>/dev/null`).join("; ");
  const train = 'exec python3 -c "x = bytearray(400 << 20); print(len(x))"';
  const { stdout, ends } = await run(of, `mkdir ${group}; ${set}; echo $$ > ${group}/cgroup.procs; ${train}`);
  rmdirSync(group);
  expect(stdout).toBe("");
  expect(ends).toMatchObject({ last_end: "failed", last_exit: 137, attempts: 1, interruptions: 0 });
});

describe("stopped from outside", () => {
  const waiting = "echo READY; while :; do sleep 0.02; done";
  test.each(["SIGTERM", "SIGINT", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2"] as const)("%s", async (signal) => {
    const ends = await stop(await newConfiguration(), waiting, [signal]);
    expect(ends).toMatchObject({ last_end: "interrupted", attempts: 0, interruptions: 1 });
  });

  test("with a code of the command's own", async () => {
    const ends = await stop(await newConfiguration(), `trap 'exit 7' TERM; ${waiting}`, ["SIGTERM"]);
    expect(ends).toMatchObject({ last_end: "interrupted", last_exit: 7, attempts: 0, interruptions: 1 });
  });

  const leaves = (what: string) => `trap '${what}exit 0' USR1; ${waiting}`;
  test.each([
    ["that leaves no checkpoint", leaves(""), ["--done-when", "iter_8.pth"], "interrupted"],
    ["that leaves its checkpoint", leaves(`${checkpoint}; `), ["--done-when", "iter_8.pth"], "done"],
    ["of which no rule says what it leaves", leaves(`${checkpoint}; `), [], "interrupted"],
    ["with a done file alone", leaves(`${checkpoint}; `), ["--done-file", "done.json"], "interrupted"],
  ] as const)("exit code 0 after it, of a command %s", async (_, script, options, end) => {
    const of = await newConfiguration();
    const ends = await stop(of, script, ["SIGUSR1"], ...options);
    expect(ends).toMatchObject({ last_end: end, last_exit: 0 });
  });
});

describe("a run that was killed with its wrapper", () => {
  test("is counted by the next one, once", async () => {
    const of = await newConfiguration();
    await run(of, "exit 3");
    await kill(of);
    const { stdout, ends } = await run(of, 'echo "$TRAINLOCK_ATTEMPT,$TRAINLOCK_LAST_EXIT"; exit 4');
    expect(stdout).toBe("2,\n");
    expect(ends).toMatchObject({ attempts: 2, interruptions: 1, last_exit: 4 });
    const next = await run(of, 'echo "$TRAINLOCK_ATTEMPT,$TRAINLOCK_LAST_EXIT"');
    expect(next.stdout).toBe("3,4\n");
    expect(next.ends).toMatchObject({ attempts: 0, interruptions: 0, last_end: "done" });
  });

  test("three times in a row is one failed attempt", async () => {
    const of = await newConfiguration();
    await kill(of);
    await kill(of);
    expect((await run(of, 'echo "$TRAINLOCK_ATTEMPT"')).stdout).toBe("1\n");
    for (let nth = 0; nth < 3; nth += 1) await kill(of);
    expect((await run(of, 'echo "$TRAINLOCK_ATTEMPT"')).stdout).toBe("2\n");
  });

  test("but not where one of them has left a newer checkpoint, under whatever name", async () => {
    const of = await newConfiguration();
    writeFileSync(join(of.weightsDir, "latest.pth"), "1");
    await kill(of);
    await kill(of);
    const later = new Date(Date.now() + 5000);
    utimesSync(join(of.weightsDir, "latest.pth"), later, later);
    await kill(of);
    expect((await run(of, 'echo "$TRAINLOCK_ATTEMPT"; exit 1')).ends).toMatchObject({ attempts: 1, interruptions: 3 });
    writeFileSync(join(of.weightsDir, "iter_9.pth"), "1");
    utimesSync(join(of.weightsDir, "iter_9.pth"), later, new Date(Date.now() + 9000));
    expect((await run(of, "exit 1")).ends).toMatchObject({ attempts: 2, checkpoint: "iter_9.pth" });
  });

  test("and cleared is counted as well", async () => {
    const of = await newConfiguration();
    await kill(of);
    expect((await trainlock(["clear", "--root", of.root, "--no-dry-run"])).stdout).toContain("Cleared 2");
    expect((await run(of, "exit 1")).ends).toMatchObject({ attempts: 1, interruptions: 1 });
  });
});

test("a lost lock is an interruption, counted by whoever comes next", async () => {
  const of = await newConfiguration();
  const holder = await holdWithLastingCommand([...of.args, "--check-every", "1s"]);
  await until(
    "the command is in the record",
    () => readFileSync(of.kernelLock, "utf8").includes(`"child_pid": ${holder.commandPid}`) || null,
  );
  replaceFile(of.marker, `${process.pid}\n`);
  expect((await holder.finished).exitCode).toBe(74);
  rmSync(of.marker);
  expect((await run(of, "exit 5")).ends).toMatchObject({ attempts: 1, interruptions: 1, last_exit: 5 });
});

describe("the count outlasts", () => {
  test("a run that is turned away, one that finds it trained, an empty lock file and a lost record", async () => {
    const of = await newConfiguration();
    await run(of, "exit 3");
    const holder = await holdWithRun(of.args);
    expect((await trainlock(["run", ...of.args, "--", "false"])).exitCode).toBe(75);
    holder.kill("SIGTERM");
    await holder.finished;
    expect(endsIn(of.markerRecord)).toMatchObject({ attempts: 1, interruptions: 1 });
    // As a Python job that is turned away leaves it.
    writeFileSync(of.kernelLock, "");
    expect((await run(of, "exit 3")).ends).toMatchObject({ attempts: 2, interruptions: 1 });
    rmSync(of.markerRecord);
    expect((await run(of, "exit 3")).ends).toMatchObject({ attempts: 3, interruptions: 1 });
  });

  test("what a record may say that is none", async () => {
    const of = await newConfiguration();
    await run(of, "exit 3");
    for (const path of [of.kernelLock, of.markerRecord]) {
      const record = JSON.parse(readFileSync(path, "utf8"));
      record.trainlock.ends = {
        attempts: -1,
        interruptions: "x",
        last_end: "\u001b[2J",
        last_exit: 1e300,
        checkpoint: 3,
      };
      writeFileSync(path, JSON.stringify(record));
    }
    expect((await run(of, 'echo "$TRAINLOCK_ATTEMPT,$TRAINLOCK_LAST_EXIT"; exit 1')).stdout).toBe("1,\n");
  });
});
