import { chmodSync, closeSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { dropSubmission, makeSubmission, noteTaken, writeSubmission } from "../../src/grid/submissions.ts";
import { openRowLog } from "../../src/work/row-log.ts";
import { exchanger } from "../support/exchanger.ts";
import { python } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish, startProcess } from "../support/running-process.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";

const rounds = process.env.TRAINLOCK_SOAK === "1" ? 1000 : 20;

/** Swaps a folder for a link and back, as fast as it can, until its input ends. */
const swapper = `
import os, select, sys
folder, link = sys.argv[1:]
print("SWAPPING", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(50):
        os.rename(folder, folder + ".aside"); os.rename(link, folder)
        os.rename(folder, link); os.rename(folder + ".aside", folder)
`;

requiresPrograms("python3")(
  "clear removes nothing outside the root, however fast folders become links",
  async () => {
    const [root, outside] = [await temporaryRoot(), await temporaryRoot()];
    const markerIn = (top: string) => join(top, "d_cd", "m", ".training_lock");
    const inside = join(root, "WEIGHTS", "s");
    const link = join(root, "link");
    symlinkSync(outside, link);
    for (const top of [inside, outside]) mkdirSync(join(top, "d_cd", "m"), { recursive: true });
    writeFileSync(markerIn(outside), "4194303\n");
    const swapping = startProcess("python3", ["-c", swapper, inside, link], {
      env: environment(),
      timeoutMs: 600_000,
    });
    await swapping.waitFor("SWAPPING");
    let cleared = 0;
    for (let round = 0; round < rounds; round += 1) {
      try {
        writeFileSync(markerIn(inside), "4194303\n", { flag: "wx" });
      } catch {
        // It was away just now, or is still there.
      }
      const { stdout } = await trainlock(["clear", "--root", root, "--force", "--no-dry-run", "--scheduler", "none"]);
      if (stdout.includes("Cleared 1")) cleared += 1;
      expect(existsSync(markerIn(outside)), `after ${round} rounds: ${stdout}`).toBe(true);
    }
    swapping.closeInput();
    await swapping.finished;
    tally({ rounds });
    expect(cleared).toBeGreaterThan(0);
  },
  600_000,
);

const racedMs = process.env.TRAINLOCK_SOAK === "1" ? 60_000 : 3000;

const asks = [
  ["root", requiresPrograms("python3", "root"), []],
  [
    "a user",
    requiresPrograms("python3", "setpriv as root"),
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
  ],
] as const;

/** Does something again and again while a folder is swapped for a link and back. */
async function whileSwapping(
  swapped: { readonly folder: string; readonly link: string },
  round: () => void | Promise<void>,
): Promise<number> {
  const swapping = startProcess("python3", ["-c", exchanger, swapped.folder, swapped.link], {
    env: environment(),
    timeoutMs: 600_000,
  });
  await swapping.waitFor("SWAPPING");
  let rounds = 0;
  for (const untilMs = performance.now() + racedMs; performance.now() < untilMs; rounds += 1) await round();
  swapping.closeInput();
  await swapping.finished;
  tally({ rounds });
  return rounds;
}

/**
 * Runs a command again and again while a folder is swapped for a link and back; `unchanged` fails if anything came of it outside.
 */
async function raceSwaps(
  swapped: { readonly folder: string; readonly link: string },
  root: string,
  as: readonly string[],
  command: readonly string[],
  unchanged: (after: string) => void,
): Promise<void> {
  const of = ["--root", root, "--strategy", "s", "--dataset", "D", "--model", "m", "--scheduler", "none"];
  const [file = "", ...args] = [...as, executable, "run", ...of, "--", ...command];
  const ends: (number | null)[] = [];
  await whileSwapping(swapped, async () => {
    const { exitCode } = await finish(file, args, { env: environment(), timeoutMs: 60_000 });
    ends.push(exitCode);
    unchanged(`after ${ends.length} runs`);
  });
  console.log(`${ends.length} runs, ${ends.filter((code) => code === 0).length} of them trained`);
  // 74: at a check the marker was another's, or not to be found.
  expect(ends.filter((code) => ![0, 3, 74, 75].includes(code ?? -1))).toEqual([]);
}

for (const [who, race, as] of asks) {
  race(
    `run as ${who} makes, changes and removes nothing outside the root, however fast folders become links`,
    async () => {
      const [root, outside] = [await temporaryRoot(), await temporaryRoot()];
      const inside = join(root, "WEIGHTS", "s");
      const link = join(root, "link");
      symlinkSync(outside, link);
      for (const top of [inside, outside]) mkdirSync(join(top, "d_cd"), { recursive: true });
      mkdirSync(join(outside, "d_cd", "m"));
      mkdirSync(join(root, "training_locks"));
      for (const folder of [
        root,
        join(root, "training_locks"),
        outside,
        ...[inside, outside].map((top) => join(top, "d_cd")),
      ])
        chmodSync(folder, 0o777);
      chmodSync(join(outside, "d_cd", "m"), 0o777);
      writeFileSync(join(outside, "d_cd", "m", "iter_1.pth"), "");
      const tree = () => readdirSync(outside, { recursive: true }).sort();
      const before = tree();
      // A grandchild, so that the process tree is noted beside the record.
      const command = ["sh", "-c", "sh -c 'sleep 0.2; :'; :"];
      await raceSwaps({ folder: inside, link }, root, as, command, (after) => expect(tree(), after).toEqual(before));
    },
    600_000,
  );
}

for (const [who, race, as] of asks) {
  race(
    `run as ${who} makes nothing outside the root, however fast its lock dir becomes a link`,
    async () => {
      const [root, outside] = [await temporaryRoot(), await temporaryRoot()];
      const lockDir = join(root, "training_locks");
      const link = join(root, "link");
      symlinkSync(outside, link);
      mkdirSync(lockDir);
      for (const folder of [root, lockDir, outside]) chmodSync(folder, 0o777);
      const unchanged = (after: string) => expect(readdirSync(outside), after).toEqual([]);
      await raceSwaps({ folder: lockDir, link }, root, as, ["true"], unchanged);
    },
    600_000,
  );
}

/** A root whose folder of a strategy, or whose lock dir, is swapped for a link to a folder that looks the same. */
async function twoPlaces() {
  const [root, outside] = [await temporaryRoot(), await temporaryRoot()];
  for (const top of [join(root, "WEIGHTS", "s"), join(root, "training_locks"), outside])
    mkdirSync(top, { recursive: true });
  for (const top of [join(root, "WEIGHTS", "s"), outside]) mkdirSync(join(top, "d_cd", "m"), { recursive: true });
  mkdirSync(join(outside, "submit"));
  const link = join(root, "link");
  symlinkSync(outside, link);
  const tree = () => readdirSync(outside, { recursive: true }).sort();
  return { root, link, tree, before: tree() };
}

test("the log of a row is written nowhere outside the root, however fast folders become links", async () => {
  const { root, link, tree, before } = await twoPlaces();
  const inside = join(root, "WEIGHTS", "s");
  const logs = join(inside, "d_cd", "m", "trainlock-logs");
  let opened = 0;
  const rounds = await whileSwapping({ folder: inside, link }, () => {
    try {
      closeSync(openRowLog({ root, links: [] }, join(logs, `${opened}.log`)));
      opened += 1;
    } catch {
      // A link stood there just now.
    }
  });
  expect(tree()).toEqual(before);
  expect([opened > 0, opened < rounds]).toEqual([true, true]);
}, 600_000);

test("a submission is written and dropped nowhere outside the root, however fast the lock dir becomes a link", async () => {
  const { root, link, tree, before } = await twoPlaces();
  const lockDir = join(root, "training_locks");
  let made = 0;
  const submitted = {
    ...{ format: 1 as const, job: null, scheduler: "slurm" as const, cluster: null, user: "u", host: "h" },
    ...{ submittedAt: 1, elements: 1 },
  };
  await whileSwapping({ folder: lockDir, link }, () => {
    const folder = join(lockDir, "submit", `x-${made}`);
    try {
      makeSubmission(folder, "#!/bin/bash\n", ["{}"]);
      writeSubmission(folder, submitted);
      noteTaken(folder, { index: 1, restarts: 0 });
      dropSubmission(folder);
      made += 1;
    } catch {
      // A link stood there just now.
    }
  });
  expect(tree()).toEqual(before);
  expect(made).toBeGreaterThan(0);
}, 600_000);

const pythonLoop = `
import sys, time
from training_lock import TrainingLock
lock = TrainingLock("s", "D", "m")
until, rounds, held = time.monotonic() + float(sys.argv[1]), 0, 0
while time.monotonic() < until:
    rounds += 1
    try:
        if lock.acquire():
            held += 1
            try:
                lock.assert_held()
            finally:
                lock.release(done=True)
    except Exception as error:
        print(type(error).__name__, error)
print("HELD", held, "OF", rounds)
`;

for (const what of ["its lock dir", "a folder above its weights"]) {
  requiresPrograms("python3")(
    `a Python program makes and removes nothing outside the root, however fast ${what} becomes a link`,
    async () => {
      const { root, link, tree, before } = await twoPlaces();
      const folder = what === "its lock dir" ? join(root, "training_locks") : join(root, "WEIGHTS", "s");
      let said = "";
      await whileSwapping({ folder, link }, async () => {
        said += (await python(root, pythonLoop, [String(racedMs / 1000)], { timeoutMs: 120_000 })).stdout;
      });
      expect(tree()).toEqual(before);
      const [, held, rounds] = /HELD (\d+) OF (\d+)/.exec(said) ?? [];
      expect([Number(held) > 0, Number(rounds) > 1], said.slice(-600)).toEqual([true, true]);
    },
    600_000,
  );
}

for (const [who, race, as] of asks) {
  const places = [
    ["the allowed link leads elsewhere meanwhile", (root: string, _: string) => join(root, "WEIGHTS", "s")],
    ["a folder behind the allowed link becomes a link", (_: string, scratch: string) => join(scratch, "me", "d_cd")],
  ] as const;
  for (const [what, swappedIn] of places) {
    race(
      `run as ${who} makes and removes nothing outside root and allowed folders, however fast ${what}`,
      async () => {
        const [root, scratch, outside] = [await temporaryRoot(), await temporaryRoot(), await temporaryRoot()];
        for (const top of [join(scratch, "me"), outside]) mkdirSync(join(top, "d_cd", "m"), { recursive: true });
        mkdirSync(join(outside, "m"));
        mkdirSync(join(root, "WEIGHTS"));
        mkdirSync(join(root, "training_locks"));
        symlinkSync(join(scratch, "me"), join(root, "WEIGHTS", "s"));
        writeFileSync(join(root, "trainlock.yaml"), `links: ["${scratch}"]\n`);
        const link = join(dirname(swappedIn(root, scratch)), "link");
        symlinkSync(outside, link);
        for (const top of [root, scratch, outside]) openToAll(top);
        const tree = () => readdirSync(outside, { recursive: true }).sort();
        const before = tree();
        const unchanged = (after: string) => expect(tree(), after).toEqual(before);
        await raceSwaps({ folder: swappedIn(root, scratch), link }, root, as, ["true"], unchanged);
      },
      600_000,
    );
  }
}

function openToAll(top: string): void {
  chmodSync(top, 0o777);
  for (const name of readdirSync(top, { recursive: true, withFileTypes: true }))
    if (name.isDirectory()) chmodSync(join(name.parentPath, name.name), 0o777);
  const file = join(top, "trainlock.yaml");
  if (existsSync(file)) chmodSync(file, 0o644);
}
