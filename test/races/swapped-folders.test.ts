import { chmodSync, existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
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
    const swapping = startProcess("python3", ["-c", swapper, inside, link], { env: environment() });
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

/** The same in one step: nobody finds the folder missing and makes it anew. renameat2(2), RENAME_EXCHANGE. */
const exchanger = `
import ctypes, os, select, sys
folder, link = (os.fsencode(each) for each in sys.argv[1:])
libc = ctypes.CDLL(None, use_errno=True)
print("SWAPPING", flush=True)
while not select.select([sys.stdin], [], [], 0)[0]:
    for _ in range(50):
        assert libc.renameat2(-100, folder, -100, link, 2) == 0, ctypes.get_errno()
if os.path.islink(folder): libc.renameat2(-100, folder, -100, link, 2)
`;

const racedMs = process.env.TRAINLOCK_SOAK === "1" ? 60_000 : 3000;

const asks = [
  ["root", requiresPrograms("python3", "root"), []],
  [
    "a user",
    requiresPrograms("python3", "setpriv as root"),
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
  ],
] as const;

/** Runs a command again and again while a folder is swapped for a link and back; `unchanged` fails if anything came of it outside. */
async function raceSwaps(
  swapped: { readonly folder: string; readonly link: string },
  root: string,
  as: readonly string[],
  command: readonly string[],
  unchanged: (after: string) => void,
): Promise<void> {
  const swapping = startProcess("python3", ["-c", exchanger, swapped.folder, swapped.link], {
    env: environment(),
    timeoutMs: 600_000,
  });
  await swapping.waitFor("SWAPPING");
  const of = ["--root", root, "--strategy", "s", "--dataset", "D", "--model", "m", "--scheduler", "none"];
  const [file = "", ...args] = [...as, executable, "run", ...of, "--", ...command];
  const ends: (number | null)[] = [];
  for (const untilMs = performance.now() + racedMs; performance.now() < untilMs; ) {
    const { exitCode } = await finish(file, args, { env: environment(), timeoutMs: 60_000 });
    ends.push(exitCode);
    unchanged(`after ${ends.length} runs`);
  }
  swapping.closeInput();
  await swapping.finished;
  tally({ rounds: ends.length });
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
