import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { sweepLockDir } from "../../src/stores/sweep-lock-dir.ts";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import type { RunningProcess } from "../support/running-process.ts";
import { trace } from "../support/strace.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithRun, killWithCommand, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

const hour = 3600;
const day = 24 * hour;

function age(path: string, seconds: number): void {
  const then = Date.now() / 1000 - seconds;
  utimesSync(path, then, then);
}

/** What is in a folder and below, without the history. */
function filesIn(folder: string): string[] {
  const names = existsSync(folder) ? (readdirSync(folder, { recursive: true }) as string[]) : [];
  return names.filter((name) => !name.startsWith("history")).sort();
}

const scene = async () => configuration(await temporaryRoot());
const clear = (of: TestConfiguration, ...more: readonly string[]) =>
  trainlock(["clear", "--no-dry-run", "--root", of.root, "--scheduler", "none", ...more]);

interface Moment {
  readonly args: (of: TestConfiguration) => readonly string[];
  /** The call at which the program is killed: one that would have removed or renamed the file. */
  readonly call: RegExp;
  /** What the crash leaves in the lock dir. */
  readonly left: RegExp;
  readonly env?: Readonly<Record<string, string>>;
  readonly before?: (of: TestConfiguration) => Promise<unknown>;
  readonly within?: (of: TestConfiguration) => readonly string[];
}

/** Another rank of a launch whose start its rank 0 has to be compared with. */
const rankOfNode = { RANK: "1", WORLD_SIZE: "2", MASTER_ADDR: "node01", MASTER_PORT: "29500" };

const moments: Readonly<Record<string, Moment>> = {
  "a rank that reads the file server's clock": {
    args: (of) => ["run", ...of.args, "--ranks", "job", "--", "true"],
    call: /^unlink.*\/\.[0-9a-f]{16}\.tmp"/,
    left: /^\.[0-9a-f]{16}\.tmp$/,
    env: rankOfNode,
    // Nobody comes.
    within: () => ["timeout", "-s", "KILL", "3"],
  },
  "a worker that notes how a run ended": {
    args: (of) => [
      "work",
      "--root",
      of.root,
      ...of.args.slice(2),
      "--retry-failed",
      "--scheduler",
      "none",
      "--",
      "false",
    ],
    call: /^rename.*\/work\/[^/]+\.json\.[0-9a-f]{16}\.tmp"/,
    left: /^work\/.*\.json\.[0-9a-f]{16}\.tmp$/,
  },
  "a probe of doctor": {
    before: (of) => trainlock(["run", ...of.args, "--", "true"]),
    args: (of) => ["doctor", "--root", of.root],
    call: /^link(at)?\(.*trainlock-doctor-/,
    left: /^\.trainlock-doctor-[0-9a-f]{16}$/,
  },
  "a clear that removes a lock file where nobody can lock": {
    before: async (of) => killWithCommand(await holdWithRun(of.args)),
    args: (of) => ["clear", "--no-dry-run", "--root", of.root],
    within: (of) => lustreWithoutLocks(of.root).told,
    call: /^unlink.*\.lock\.[0-9a-f]{16}\.tmp"/,
    left: /\.lock\.[0-9a-f]{16}\.tmp$/,
  },
};

/** Which of its calls it is may change from one run to the next. */
const mostKills = 8;

/** Runs a program, each time in a new scene: to its end, and then until it has been killed at the call. */
async function killAt({ args, call, env = {}, before, within }: Moment): Promise<TestConfiguration> {
  const traced = async (inject?: string) => {
    const of = await scene();
    await before?.(of);
    const how = { env, ...(inject !== undefined && { inject }) };
    return { of, ...(await trace(args(of), { ...how, within: within?.(of) ?? [] })) };
  };
  const found = (await traced()).calls.find(({ text }) => call.test(text));
  if (found === undefined) throw new Error(`no call ${call}`);
  for (let kills = 0; kills < mostKills; kills += 1) {
    const { of, calls } = await traced(`${found.name}:signal=KILL:when=${found.nth}`);
    if (calls.some(({ name, nth, text }) => name === found.name && nth === found.nth && call.test(text))) return of;
  }
  throw new Error(`not killed at ${call} in ${mostKills} runs`);
}

describe("what a killed process leaves in the lock dir goes with a later clear, once it is old", () => {
  for (const [title, moment] of Object.entries(moments)) {
    requiresPrograms("strace", ...(title.startsWith("a clear") ? (["unshare --mount"] as const) : []))(
      title,
      async () => {
        const of = await killAt(moment);
        const left = filesIn(of.lockDir).filter((name) => moment.left.test(name));
        expect(left).toHaveLength(1);
        const path = join(of.lockDir, left[0] ?? "");
        await clear(of);
        expect(filesIn(of.lockDir)).toContain(left[0]);
        age(path, 2 * hour);
        if (title.startsWith("a clear")) {
          // Its name is as young as the rename. Nobody can set that time back.
          sweepLockDir(of.lockDir, "flock");
          expect(filesIn(of.lockDir)).toContain(left[0]);
          sweepLockDir(of.lockDir, "flock", () => Date.now() + 2 * hour * 1000);
        } else expect(await clear(of)).toMatchObject({ exitCode: 0 });
        expect(filesIn(of.lockDir).filter((name) => moment.left.test(name))).toEqual([]);
      },
      60_000,
    );
  }

  test("and nothing else does: other users' files, other names, folders, lock files", async () => {
    const of = await scene();
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
    const stay = ["0123456789abcdef.tmp", ".0123456789abcde.tmp", "notes.tmp", "x.ranks", ".site.json", "y.inner"];
    for (const name of stay) writeFileSync(join(of.lockDir, name), "");
    mkdirSync(join(of.lockDir, ".fedcba9876543210.tmp"));
    const anothers = ".00112233aabbccdd.tmp";
    if (process.getuid?.() === 0) {
      writeFileSync(join(of.lockDir, anothers), "");
      chownSync(join(of.lockDir, anothers), 4242, 4242);
    }
    for (const name of readdirSync(of.lockDir)) age(join(of.lockDir, name), 60 * day);
    const before = filesIn(of.lockDir);
    expect(await clear(of)).toMatchObject({ exitCode: 0 });
    expect(filesIn(of.lockDir)).toEqual(before);
  });
});

requiresPrograms("strace")("a clear sweeps what a killed run has left in the weights dir that it clears", async () => {
  const of = await killAt({
    args: (of) => ["run", ...of.args, "--", "true"],
    call: /^link(at)?\(.*\.training_lock"/,
    left: /$/,
  });
  const temporary = /^\.training_lock\..*\.tmp$/;
  expect(filesIn(of.weightsDir).filter((name) => temporary.test(name))).toHaveLength(1);
  await writeMarker(of, `${deadPid}\n`);
  expect(await clear(of)).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^Cleared /) });
  expect(filesIn(of.weightsDir).filter((name) => name.startsWith(".training_lock") && name.endsWith(".tmp"))).toEqual(
    [],
  );
  expect(existsSync(of.marker)).toBe(false);
});

requiresPrograms("strace")(
  "a run sweeps what one that was killed while it wrote the same --status file has left",
  async () => {
    const killed = await killAt({
      args: (of) => ["run", ...of.args, "--status", join(of.root, "status.json"), "--", "true"],
      call: /^rename.*status\.json/,
      left: /$/,
    });
    const left = () => readdirSync(killed.root).filter((name) => name.startsWith("status.json."));
    const run = () => trainlock(["run", ...killed.args, "--status", join(killed.root, "status.json"), "--", "true"]);
    expect(left()).toHaveLength(1);
    expect(await run()).toMatchObject({ exitCode: 0 });
    expect(left()).toHaveLength(1);
    age(join(killed.root, left()[0] ?? ""), 2 * hour);
    expect(await run()).toMatchObject({ exitCode: 0 });
    expect(left()).toEqual([]);
  },
);

describe("the lock of a run inside of a run", () => {
  const inner = (of: TestConfiguration) => readdirSync(of.lockDir).filter((name) => name.endsWith(".inner"));

  async function nested(of: TestConfiguration): Promise<RunningProcess> {
    const innerRun = [executable, "run", ...of.args, "--", "sh", "-c", "echo in $$; exec cat"];
    const outer = startTrainlock(["run", ...of.args, "--", ...innerRun]);
    await outer.waitFor("in ");
    expect(inner(of)).toHaveLength(1);
    return outer;
  }

  test("of a claim that is over goes once it is old, with the files of a killed one; that of a claim that lives stays", async () => {
    const of = await scene();
    const outer = await nested(of);
    for (const name of inner(of)) age(join(of.lockDir, name), 40 * day);
    await clear(of);
    expect(inner(of)).toHaveLength(1);
    const [, command] = /in (\d+)/.exec(outer.stdout()) ?? [];
    outer.kill("SIGKILL");
    for (const pid of descendants(Number(command))) process.kill(pid, "SIGKILL");
    await outer.finished;
    await until("the next claim", async () => {
      const { exitCode } = await trainlock(["run", ...of.args, "--", "true"]);
      return exitCode === 0 ? true : null;
    });
    expect(inner(of)).toHaveLength(1);
    age(join(of.lockDir, inner(of)[0] ?? ""), hour);
    await clear(of);
    expect(inner(of)).toHaveLength(1);
    age(join(of.lockDir, inner(of)[0] ?? ""), 2 * day);
    await clear(of);
    expect(inner(of)).toEqual([]);
  });
});

/** A process and those above it that are of this tool. */
function descendants(pid: number): number[] {
  const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  return [pid, parent];
}

describe("files of a launch that was killed", () => {
  const ranks = (of: TestConfiguration) => readdirSync(of.lockDir).filter((name) => name.includes(".ranks"));
  const slurm = (rank: number, job = "7") => ({
    ...{ SLURM_JOB_ID: job, SLURM_STEP_ID: "0", SLURM_STEP_NUM_TASKS: "2", SLURM_PROCID: `${rank}` },
  });
  const rank = (of: TestConfiguration, number: number) =>
    startTrainlock(["run", ...of.args, "--ranks", "job", "--", "sh", "-c", "echo in; exec cat"], {
      env: slurm(number),
    });
  /** A launch of another configuration of the same site. */
  const another = async (of: TestConfiguration) => {
    const other = configuration(of.root, "another");
    const run = (number: number) =>
      trainlock(["run", ...other.args, "--ranks", "job", "--", "true"], { env: slurm(number, "8") });
    expect((await Promise.all([run(0), run(1)])).map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  };

  async function launched(): Promise<{ of: TestConfiguration; both: RunningProcess[] }> {
    const of = await scene();
    const both = [rank(of, 0), rank(of, 1)];
    await Promise.all(both.map((each) => each.waitFor("in")));
    return { of, both };
  }

  const ageAll = (of: TestConfiguration, seconds: number) => {
    for (const name of ranks(of)) age(join(of.lockDir, name), seconds);
  };

  async function killAll(both: readonly RunningProcess[]): Promise<void> {
    for (const each of both) {
      each.kill("SIGKILL");
      // The command reads its input to the end.
      each.closeInput();
      await each.finished;
    }
  }

  test("go with the next launch of any configuration of that user, a day later", async () => {
    const { of, both } = await launched();
    await killAll(both);
    const left = ranks(of);
    expect(left.length).toBeGreaterThan(1);
    await another(of);
    expect(ranks(of)).toEqual(left);
    ageAll(of, day + hour);
    await another(of);
    expect(ranks(of)).toEqual([]);
  });

  test("stay while it is suspended, however long, and it goes on with all its ranks", async () => {
    const { of, both } = await launched();
    for (const each of both) each.kill("SIGSTOP");
    const files = ranks(of);
    ageAll(of, 60 * day);
    await another(of);
    // Also the next rank 0 of the same configuration, which is turned away.
    expect(await trainlock(["run", ...of.args, "--ranks", "job", "--", "true"], { env: slurm(0, "9") })).toMatchObject({
      exitCode: 75,
    });
    await clear(of);
    expect(ranks(of)).toEqual(expect.arrayContaining(files));
    for (const each of both) each.kill("SIGCONT");
    for (const each of both) each.closeInput();
    for (const each of both) expect(await each.finished).toMatchObject({ exitCode: 0 });
    expect(ranks(of).filter((name) => files.includes(name))).toEqual([]);
  });

  test("of another host, where it cannot be seen, go after a week, unless its claim is the last one", async () => {
    const { of, both } = await launched();
    const status = ranks(of).find((name) => name.endsWith(".ranks")) ?? "";
    await killAll(both);
    for (const name of ranks(of)) {
      const path = join(of.lockDir, name);
      const json = JSON.parse(readFileSync(path, "utf8"));
      const who = json.leader ?? json.follower;
      Object.assign(who, { hostname: "node99", bootId: "00000000-0000-0000-0000-000000000000" });
      writeFileSync(path, `${JSON.stringify(json)}\n`);
    }
    const files = ranks(of);
    expect(files).toContain(status);
    ageAll(of, 60 * day);
    await another(of);
    expect(ranks(of)).toEqual(files);
    ageAll(of, 6 * day);
    await clear(of, "--force");
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
    await another(of);
    expect(ranks(of)).toEqual(files);
    ageAll(of, 8 * day);
    await another(of);
    expect(ranks(of)).toEqual([]);
  });
});
