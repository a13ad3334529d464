import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { heldByFlock } from "../support/held-by-flock.ts";
import { noclobberJob, pythonJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type RunningProcess, startProcess } from "../support/running-process.ts";
import { leftovers, listed } from "../support/scenarios.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";

const program = new URL("../support/peers/flock_job.py", import.meta.url).pathname;

/** A Python job that is descheduled between its unlock and its unlink, as any process may be at any place. */
async function pythonJobThatUnlinksLate(of: TestConfiguration, lateByMs: number): Promise<RunningProcess> {
  const late = ["-f", "-qq", "-o", "/dev/null", "-e", "trace=unlink,unlinkat"];
  const delay = ["-e", `inject=unlink,unlinkat:delay_enter=${lateByMs * 1000}`];
  const names = ["--strategy", of.strategy, "--dataset", of.dataset, "--model", of.model];
  const job = ["python3", program, "hold", of.kernelLock, ...names];
  const running = startProcess("strace", [...late, ...delay, ...job], { env: environment() });
  await running.waitFor("HELD");
  return running;
}

const run = (of: TestConfiguration) => trainlock(["run", ...of.args, "--", "true"]);

async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + 5_000;
  while (!(await what())) {
    if (Date.now() > giveUpAt) throw new Error(`did not come: ${what}`);
    await sleep(5);
  }
}

const inodeIsAgain = (of: TestConfiguration, generation: number) => {
  if (!existsSync(of.kernelLock)) return false;
  return readFileSync(of.kernelLock, "utf8").includes(`"generation": ${generation}`);
};

describe("the lock file is unlinked under its holder", () => {
  requiresPrograms("strace", "python3")(
    "by an old writer that was late: it is there and locked again at the next check",
    async () => {
      const of = configuration(await temporaryRoot());
      const old = await pythonJobThatUnlinksLate(of, 550);
      old.closeInput();
      const holder = await holdTheFreed(of);
      await until(() => !existsSync(of.kernelLock));
      // The marker keeps everybody out who looks at it, as long as the lock file is not there.
      expect(await run(of)).toMatchObject({ exitCode: 75 });
      await until(() => inodeIsAgain(of, holder.generation));
      const newcomer = pythonJob.start(of);
      expect(await newcomer.finished).toMatchObject({ exitCode: 1 });
      expect(await run(of)).toMatchObject({ exitCode: 75 });
      holder.closeInput();
      expect(await holder.finished).toMatchObject({ exitCode: 0 });
      expect(await run(of)).toMatchObject({ exitCode: 0 });
      expect(leftovers(of)).toEqual([]);
    },
  );

  requiresPrograms("strace", "python3")(
    "and another old writer locks a new one before: the claim is lost, and its command stopped",
    async () => {
      const of = configuration(await temporaryRoot());
      const old = await pythonJobThatUnlinksLate(of, 550);
      old.closeInput();
      const holder = await holdTheFreed(of);
      await until(() => !existsSync(of.kernelLock));
      const other = await takeAway(of.kernelLock, () => pythonJob.start(of));
      expect(await holder.finished).toMatchObject({ exitCode: 74 });
      expect(holder.stderr()).toContain(of.kernelLock);
      expect(isRunning(holder.commandPid)).toBe(false);
      // What the successor wrote is its own.
      expect(JSON.parse(readFileSync(of.kernelLock, "utf8"))).not.toHaveProperty("trainlock");
      expect(await run(of)).toMatchObject({ exitCode: 75 });
      other.closeInput();
      await other.finished;
      expect(await run(of)).toMatchObject({ exitCode: 0 });
      expect(leftovers(of)).toEqual([]);
    },
  );

  requiresPrograms("flock")(
    "and somebody who writes nothing keeps a new one for longer than any contender: the claim is lost",
    async () => {
      const of = configuration(await temporaryRoot());
      const holder = await holdWithRun(of.args);
      const others = `${of.kernelLock}.others`;
      const other = await heldByFlock(others, "");
      renameSync(others, of.kernelLock);
      expect(await holder.finished).toMatchObject({ exitCode: 74 });
      expect(holder.stderr()).toContain("somebody else has locked a new one");
      expect(isRunning(holder.commandPid)).toBe(false);
      other.closeInput();
      await other.finished;
    },
    60_000,
  );

  test.each([0, 5, 1_300])(
    "and its wrapper is killed %i ms later: the command goes on, and nobody else starts",
    async (ms) => {
      const root = await temporaryRoot();
      const of = configuration(root);
      // Not its input: that one is closed when the wrapper dies.
      const end = join(root, "end");
      const command = [
        "sh",
        "-c",
        `echo "HELD $$"; while [ -d ${dirname(end)} ] && [ ! -e ${end} ]; do sleep 0.05; done; echo >${end}ed`,
      ];
      const wrapper = startTrainlock(["run", ...of.args, "--", ...command]);
      await wrapper.waitFor("HELD");
      rmSync(of.kernelLock);
      await sleep(ms);
      wrapper.kill("SIGKILL");
      await wrapper.finished;
      expect(await run(of)).toMatchObject({ exitCode: 75 });
      expect((await listed(root)).map(({ kind, status }) => `${kind} ${status}`)).toContain("file active");
      expect(await trainlock(["clear", "--root", root, "--no-dry-run", "--force"])).toMatchObject({ exitCode: 0 });
      expect(existsSync(of.marker)).toBe(true);
      expect(existsSync(`${end}ed`)).toBe(false);
      writeFileSync(end, "");
      await until(() => existsSync(`${end}ed`));
      await until(async () => (await run(of)).exitCode === 0);
      expect(leftovers(of)).toEqual([]);
    },
  );
});

/** PIDs of its own: what runs there can be told by its kernel lock alone, as what runs on another host. */
const container = ["--pid", "--fork", "--mount-proc", "--kill-child"];

describe("the lock file is unlinked, and contenders come from where the holder cannot be seen", () => {
  requiresPrograms("unshare --pid")("from another container, one after another: none of them trains", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    const end = join(root, "end");
    const command = ["sh", "-c", `echo HELD; while [ -d ${root} ] && [ ! -e ${end} ]; do sleep 0.02; done`];
    const holder = startProcess("unshare", [...container, executable, "run", ...of.args, "--", ...command], {
      env: environment(),
    });
    await holder.waitFor("HELD");
    // The early checks are over: the next one comes half a minute later.
    await sleep(1_200);
    rmSync(of.kernelLock);
    const inAnother = () =>
      startProcess("unshare", [...container, executable, "run", ...of.args, "--", "echo", "trains"], {
        env: environment(),
      }).finished;
    for (let times = 0; times < 3; times++) expect(await inAnother()).toMatchObject({ exitCode: 75, stdout: "" });
    await startProcess("unshare", [...container, executable, "clear", "--root", root, "--no-dry-run"], {
      env: environment(),
    }).finished;
    expect(existsSync(of.marker)).toBe(true);
    expect(await inAnother()).toMatchObject({ exitCode: 75, stdout: "" });
    writeFileSync(end, "");
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
    expect(await run(of)).toMatchObject({ exitCode: 0 });
    expect(leftovers(of)).toEqual([]);
  });
});

/** An old job that takes what was removed. The holder puts its file back, and may be quicker than the job. */
async function takeAway(path: string, start: () => RunningProcess): Promise<RunningProcess> {
  for (;;) {
    rmSync(path, { force: true });
    const job = start();
    const took = await job.waitFor("HELD").then(
      () => true,
      () => false,
    );
    if (took) return job;
  }
}

describe("the marker is removed under its holder", () => {
  test("it is there again at the next check", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const before = readFileSync(of.marker, "utf8");
    rmSync(of.marker);
    await until(() => existsSync(of.marker));
    expect(readFileSync(of.marker, "utf8")).toBe(before);
    expect(await noclobberJob.start(of).finished).toMatchObject({ exitCode: 1 });
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
    expect(leftovers(of)).toEqual([]);
  });

  test("and an old job puts its own there: the claim is lost, and the other's marker stays", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const other = await takeAway(of.marker, () => noclobberJob.start(of));
    const theirs = readFileSync(of.marker, "utf8");
    expect(await holder.finished).toMatchObject({ exitCode: 74 });
    expect(isRunning(holder.commandPid)).toBe(false);
    expect(readFileSync(of.marker, "utf8")).toBe(theirs);
    expect(await run(of)).toMatchObject({ exitCode: 75 });
    other.closeInput();
    await other.finished;
    expect(await run(of)).toMatchObject({ exitCode: 0 });
  });

  test("and both are removed: both are there again at the next check", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    rmSync(of.kernelLock);
    rmSync(of.marker);
    await until(() => existsSync(of.marker) && inodeIsAgain(of, holder.generation));
    expect(await run(of)).toMatchObject({ exitCode: 75 });
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
    expect(leftovers(of)).toEqual([]);
  });

  test("and the whole folder is moved away: the claim is lost or made again, and nothing is written into the old one", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    rmSync(of.weightsDir, { recursive: true });
    writeFileSync(join(of.lockDir, "..", "note"), "the folder is gone");
    await sleep(1_300);
    expect(await run(of)).toMatchObject({ exitCode: 75 });
    holder.closeInput();
    const { exitCode } = await holder.finished;
    expect([0, 74]).toContain(exitCode);
    expect(await run(of)).toMatchObject({ exitCode: 0 });
  });
});

/** The lock is free as soon as the old job has unlocked it, which is before it has unlinked it. */
async function holdTheFreed(of: TestConfiguration) {
  for (;;) {
    const probe = await trainlock(["check", ...of.args]);
    if (probe.exitCode === 0) return holdWithRun(of.args);
  }
}

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
