import { execFileSync } from "node:child_process";
import { lstatSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

/** To open some of them does something: rewinds a tape, arms a watchdog, hangs on a line. No node of the machine is touched. */
const kinds = [
  ["serial line", ["c", "4", "64"]],
  ["loop device", ["b", "7", "0"]],
  ["FIFO", ["p"]],
] as const;

/** Where doctor's proof is of interest: a network file system. */
const onNetwork = (root: string) => lustreWithoutLocks(root, "rw,localflock").told;

interface Place {
  readonly name: string;
  readonly pathOf: (of: TestConfiguration) => string;
  readonly within?: (root: string) => readonly string[];
}

const places: readonly Place[] = [
  { name: "the lock file", pathOf: (of) => of.kernelLock },
  { name: "the lock dir", pathOf: (of) => of.lockDir },
  { name: "the proof of doctor", pathOf: (of) => join(of.lockDir, ".site.json"), within: onNetwork },
  { name: "another lock file", pathOf: (of) => join(of.lockDir, "other_a_b.lock") },
  { name: "the marker", pathOf: (of) => of.marker },
  { name: "the marker's record", pathOf: (of) => of.markerRecord },
  { name: "an unfinished marker", pathOf: (of) => join(of.weightsDir, ".training_lock.00000000.tmp") },
  { name: "the checkpoint", pathOf: (of) => join(of.weightsDir, "done") },
  { name: "the weights dir", pathOf: (of) => of.weightsDir },
  { name: "the strategy's folder", pathOf: (of) => dirname(dirname(of.weightsDir)) },
  { name: "the tree of weights", pathOf: (of) => join(of.root, "WEIGHTS") },
  { name: "the site's file", pathOf: (of) => join(of.root, "trainlock.yaml") },
];

const commands = (of: TestConfiguration): readonly (readonly string[])[] => [
  ["run", ...of.args, "--done-file", "done", "--", "true"],
  ["run", ...of.args, "--wait=100ms", "--", "true"],
  ["check", ...of.args],
  ["list", "--root", of.root],
  ["list", "--root", of.root, "--no-verify-pid"],
  ["clear", "--root", of.root, "--no-dry-run", "--force"],
  ["doctor", "--root", of.root],
  ["init", "--root", of.root],
];

/** Calls of any process that opened what was planted, until something else was put in its place. */
function opened(folder: string, path: string): string[] {
  // Each thread has a log of its own. Lines begin with the time, in seconds and microseconds of equal length.
  const lines = readdirSync(folder)
    .flatMap((name) => readFileSync(join(folder, name), "utf8").split("\n"))
    .sort();
  // A folder's own descriptor may stand for it, so the path's end is what counts.
  const replaces = (line: string) => / rename.* = 0$/.test(line) && line.includes(`/${basename(path)}"`);
  const replaced = lines.findIndex(replaces);
  const before = replaced === -1 ? lines : lines.slice(0, replaced);
  return before.filter(
    (line) => / (open|truncate).* = \d+/.test(line) && line.includes(`"${path}"`) && !line.includes("O_PATH"),
  );
}

describe.each(places)("in the place of $name", ({ pathOf, within = () => [] }) => {
  for (const [kind, node] of kinds) {
    requiresPrograms("strace", "mknod", "unshare --mount")(
      `a ${kind} is never opened`,
      async () => {
        const of = configuration(await temporaryRoot());
        const path = pathOf(of);
        for (const args of commands(of)) {
          mkdirSync(dirname(path), { recursive: true });
          // What stands in the way of a claim may have been replaced by it.
          if (lstatSync(path, { throwIfNoEntry: false })?.isFile() ?? true) {
            execFileSync("rm", ["-f", path]);
            execFileSync("mknod", [path, ...node]);
          }
          const log = join(await temporaryRoot(), "calls");
          const calls = "trace=open,openat,openat2,truncate,rename,renameat,renameat2";
          const traced = ["-ff", "-ttt", "-qq", "-o", log, "-s", "4096", "-e", "signal=none", "-e", calls];
          const { exitCode, signal, stderr } = await finish(
            "strace",
            [...traced, ...within(of.root), executable, ...args],
            {
              env: environment(),
              timeoutMs: 30_000,
            },
          );
          const called = args.slice(0, 1).join(" ");
          expect(signal, called).toBeNull();
          expect([0, 1, 2, 3, 75], `${called}: ${stderr}`).toContain(exitCode);
          expect(stderr).not.toContain("defect");
          expect(opened(dirname(log), path), called).toEqual([]);
        }
      },
      60_000,
    );
  }
});
