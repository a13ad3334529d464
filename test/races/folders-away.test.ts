import { execFileSync } from "node:child_process";
import { copyFileSync, cpSync, existsSync, mkdirSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { noclobberJob } from "../support/peers.ts";
import { type PythonSession, pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type Finished, startProcess } from "../support/running-process.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

/** A holder looks this often, so that it has looked twice in the time that a folder is away. */
const lookEvery = "0.5s";
const awayMs = 1500;
/** A holder looks 25 ms, 250 ms and 1 s after its claim: what is moved by chance is moved before, at and after these looks. */
const movedWithinMs = 1500;
const longestAwayMs = 2500;
const rounds = process.env.TRAINLOCK_SOAK === "1" ? 300 : 16;
const roundsAtOnce = 8;

/** Moves a folder away and back as fast as it can until its input ends, and leaves it in place, whatever others make there. */
const mover = `
import os, select, shutil, sys
folder, aside = sys.argv[1:]
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(20):
        os.rename(folder, aside)
        while True:
            try:
                os.rename(aside, folder)
                break
            except OSError:
                shutil.rmtree(folder, ignore_errors=True)
`;

interface Holder {
  /** Fails unless it holds to its end, which is its own. */
  endsWell(): Promise<void>;
}

async function run(of: TestConfiguration): Promise<Holder> {
  const command = ["sh", "-c", "echo HELD; cat >/dev/null; exit 7"];
  const holder = startTrainlock(["run", ...of.args, "--check-every", lookEvery, "--", ...command]);
  await holder.waitFor("HELD");
  return {
    endsWell: async () => {
      holder.closeInput();
      expect(await holder.finished).toMatchObject({ exitCode: 7 });
    },
  };
}

async function python(of: TestConfiguration): Promise<Holder> {
  const program: PythonSession = pythonSession(of.root);
  expect(await program.tell("lock.acquire()")).toBe(true);
  return {
    endsWell: async () => {
      expect(await program.tell("[lock.lost.is_set(), lock.assert_held(), lock.release()]")).toEqual([
        false,
        null,
        null,
      ]);
    },
  };
}

async function held(hold: (of: TestConfiguration) => Promise<Holder>) {
  const root = join(await temporaryRoot(), "root");
  mkdirSync(root);
  const of = configuration(root);
  return { of, holder: await hold(of) };
}

async function othersAreKeptOut(of: TestConfiguration): Promise<void> {
  expect(await trainlock(["run", ...of.args, "--scheduler", "none", "--", "true"])).toMatchObject({ exitCode: 75 });
  expect(await noclobberJob.start(of).finished).toMatchObject({ exitCode: 1 });
}

const holders = [
  ["a run", run],
  ["a Python program", python],
] as const;

const places = [
  ["the root", (of: TestConfiguration) => of.root],
  ["the lock dir", (of: TestConfiguration) => of.lockDir],
  ["all weights", (of: TestConfiguration) => join(of.root, "WEIGHTS")],
  ["the weights dir", (of: TestConfiguration) => of.weightsDir],
] as const;

test("a process tree that changes meanwhile is said not to be noted, by the path that people know", async () => {
  const of = configuration(await temporaryRoot());
  const command = ["sh", "-c", "echo HELD; read line; sleep 3 & sleep 3"];
  const holder = startTrainlock(["run", ...of.args, "--check-every", lookEvery, "--", ...command]);
  await holder.waitFor("HELD");
  const weights = join(of.root, "WEIGHTS");
  renameSync(weights, join(of.root, "aside"));
  holder.writeLine("go");
  await sleep(awayMs);
  renameSync(join(of.root, "aside"), weights);
  const { exitCode, stderr } = await holder.finished;
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0, stderr: expect.stringContaining(of.weightsDir) });
  expect(stderr).not.toContain("/proc/self");
});

for (const [who, hold] of holders) {
  const define = requiresPrograms(...(who === "a run" ? [] : (["python3"] as const)));

  describe(`${who} goes on while a folder is away, and holds when it is back:`, () => {
    for (const [what, pathOf] of places) {
      define(what, async () => {
        const { of, holder } = await held(hold);
        const path = pathOf(of);
        const aside = join(dirname(of.root), "aside");
        renameSync(path, aside);
        await sleep(awayMs);
        // What was there and is away is not to be made anew: others would then find a free lock in it.
        if (path === of.root || path === of.lockDir) expect(existsSync(path)).toBe(false);
        rmSync(path, { recursive: true, force: true });
        renameSync(aside, path);
        await sleep(awayMs);
        await othersAreKeptOut(of);
        await holder.endsWell();
      });
    }

    define("the lock dir, and a contender has made another and locked it", async () => {
      const { of, holder } = await held(hold);
      const aside = join(dirname(of.root), "aside");
      renameSync(of.lockDir, aside);
      mkdirSync(of.lockDir);
      const contender = startProcess("flock", [of.kernelLock, "cat"], { env: environment() });
      await sleep(awayMs);
      contender.closeInput();
      await contender.finished;
      await until("its lock file", () => (existsSync(of.kernelLock) && sizeOf(of.kernelLock) > 0 ? true : null), 5000);
      renameSync(of.lockDir, `${of.lockDir}.contender`);
      renameSync(aside, of.lockDir);
      await sleep(awayMs);
      await othersAreKeptOut(of);
      await holder.endsWell();
    });

    define(
      "any of them, at any time, with another run meanwhile",
      async () => {
        for (let round = 0; round < rounds; round += roundsAtOnce)
          await Promise.all(Array.from({ length: roundsAtOnce }, (_, at) => movedByChance(hold, round + at)));
        tally({ rounds });
      },
      600_000,
    );
  });

  describe(`${who} knows its own in a weights dir that was copied:`, () => {
    const copies: readonly (readonly [string, (of: TestConfiguration) => void])[] = [
      ["set aside, and a copy with all times in its place", (of) => swapIn(of, (to) => copyTo(of, to, true))],
      ["set aside, and a copy of today in its place", (of) => swapIn(of, (to) => copyTo(of, to, false))],
      [
        "removed, and unpacked from an archive",
        (of) => {
          const archive = join(dirname(of.root), "archive.tar");
          execFileSync("tar", ["-C", of.weightsDir, "-cf", archive, "."]);
          const unpacked = `${of.weightsDir}.new`;
          mkdirSync(unpacked);
          execFileSync("tar", ["-C", unpacked, "-xf", archive]);
          rmSync(of.weightsDir, { recursive: true });
          renameSync(unpacked, of.weightsDir);
        },
      ],
      [
        "marker and record put back, each by a rename",
        (of) => {
          for (const path of [of.marker, of.markerRecord]) {
            copyFileSync(path, `${path}.copy`);
            renameSync(`${path}.copy`, path);
          }
        },
      ],
    ];
    for (const [what, copy] of copies) {
      define(what, async () => {
        const { of, holder } = await held(hold);
        // What looks after the record has to have seen it in place.
        await until("its record", () => (existsSync(of.markerRecord) ? true : null));
        await sleep(awayMs);
        copy(of);
        await sleep(awayMs);
        await othersAreKeptOut(of);
        await holder.endsWell();
      });
    }
  });

  describe(`${who} puts its marker into a weights dir that was removed and made again:`, () => {
    const ways: readonly (readonly [string, (of: TestConfiguration) => void])[] = [
      ["removed with all that was in it", (of) => rmSync(of.weightsDir, { recursive: true })],
      ["moved away", (of) => renameSync(of.weightsDir, `${of.weightsDir}.old`)],
      ["removed with the folder above", (of) => rmSync(dirname(of.weightsDir), { recursive: true })],
    ];
    for (const [what, remove] of ways) {
      define(what, async () => {
        const { of, holder } = await held(hold);
        remove(of);
        await sleep(awayMs / 3);
        mkdirSync(of.weightsDir, { recursive: true });
        await until("its marker", () => (existsSync(of.marker) ? true : null), 10_000);
        await othersAreKeptOut(of);
        await holder.endsWell();
      });
    }
  });
}

/** Whatever is away, and when: nobody else gets in, and the claim is lost to nobody. */
async function movedByChance(hold: (of: TestConfiguration) => Promise<Holder>, round: number): Promise<void> {
  const { of, holder } = await held(hold);
  const [what, pathOf] = places[Math.floor(Math.random() * places.length)] ?? places[0];
  const [path, aside] = [pathOf(of), join(dirname(of.root), "aside")];
  const [afterMs, forMs] = [Math.random() * movedWithinMs, Math.random() * longestAwayMs];
  const moved = `${what}, ${Math.round(afterMs)} ms after the claim for ${Math.round(forMs)} ms`;
  const other = () => trainlock(["run", ...of.args, "--scheduler", "none", "--", "echo", "TRAINS"]);
  let others: Promise<readonly Finished[]>;
  if (round % 2 === 0) {
    await sleep(afterMs);
    renameSync(path, aside);
    others = Promise.all([other()]);
    await sleep(forMs);
    // A contender has perhaps made it anew, and has found the marker.
    await others;
    if (existsSync(path)) renameSync(path, `${path}.contender`);
    renameSync(aside, path);
  } else {
    const moving = startProcess("python3", ["-c", mover, path, aside], { env: environment() });
    others = Promise.all([sleep(afterMs).then(other), sleep(movedWithinMs).then(other)]);
    await others;
    moving.closeInput();
    expect(await moving.finished, moved).toMatchObject({ exitCode: 0 });
  }
  for (const { exitCode, stdout } of await others) expect([3, 75], `${moved}: ${stdout}`).toContain(exitCode);
  for (const { stdout } of await others) expect(stdout, moved).toBe("");
  await othersAreKeptOut(of);
  await holder.endsWell().catch((error: unknown) => expect.fail(`${moved}: ${String(error)}`));
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function swapIn(of: TestConfiguration, makeCopy: (to: string) => void): void {
  const copy = `${of.weightsDir}.copy`;
  makeCopy(copy);
  renameSync(of.weightsDir, `${of.weightsDir}.old`);
  renameSync(copy, of.weightsDir);
}

function copyTo(of: TestConfiguration, to: string, preserveTimestamps: boolean): void {
  cpSync(of.weightsDir, to, { recursive: true, preserveTimestamps });
  if (!preserveTimestamps) utimesSync(join(to, ".training_lock"), new Date(), new Date());
}

test("a new root in the place of one that is away stays empty, and the old one is held when it is back", async () => {
  const { of, holder } = await held(run);
  const aside = join(dirname(of.root), "aside");
  renameSync(of.root, aside);
  mkdirSync(of.root);
  await sleep(awayMs);
  expect(existsSync(join(of.root, "training_locks"))).toBe(false);
  rmSync(of.root, { recursive: true });
  renameSync(aside, of.root);
  await othersAreKeptOut(of);
  await holder.endsWell();
});
