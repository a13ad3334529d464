import { UsageError } from "../../model/errors.ts";
import { choice, choiceOr, eitherFlag, flag, optionalValue, type ValuesOf, value, valueOr } from "../command.ts";
import { doneOptions } from "../done-options.ts";
import { evidenceOptions } from "../evidence-options.ts";
import { configurationOptions, siteOptions } from "../site-options.ts";
import { parseDuration } from "../units.ts";

export const runOptions = {
  ...configurationOptions,
  ...siteOptions,
  ...evidenceOptions,
  wait: optionalValue(
    "<duration>",
    "wait for the lock, at most this long (30s, 10m, 1h30m); without a value, no limit",
    Number.POSITIVE_INFINITY,
    parseDuration,
    (text) => /^[\d.]/.test(text),
  ),
  onLocked: choiceOr(
    "<what>",
    "when another job holds the lock: fail with exit 75, or skip with exit 0",
    ["fail", "skip"],
    "fail",
  ),
  ...doneOptions,
  onLost: choiceOr("<what>", "when the lock is lost: stop the command and exit 74, or warn", ["stop", "warn"], "stop"),
  ranks: choice("<how>", "under srun, mpirun or torchrun: rank 0 takes the lock for all ranks", ["job"]),
  killAfter: valueOr(
    "<duration>",
    "from SIGTERM to SIGKILL, and for what the command leaves behind",
    "30s",
    parseDuration,
  ),
  leftovers: choice(
    "<what>",
    "processes that go on when the command has ended: kill them after --kill-after, wait for them, or leave them " +
      "without the lock (default: kill, but after exit code 0 wait for those in sessions of their own)",
    ["kill", "wait", "leave"],
  ),
  dieWithWrapper: flag("when trainlock itself is killed, end the command and all it started"),
  checkEvery: valueOr("<duration>", "how often to check that the lock is still held", "30s", parseCheckInterval),
  ttl: value("<duration>", "in a store: the lock expires this long after the last renewal (60s)"),
  alsoMarker: eitherFlag(
    "in a store: also write the marker, for jobs that only know markers",
    "in a store: write neither marker nor kernel lock; jobs that only know these are neither seen nor kept out " +
      "(default: write both wherever the root can be written)",
  ),
  status: value("<file>", "write the outcome to this file as JSON (replaced in one step)", parseStatusFile),
  quiet: flag("print no progress, not even on a terminal"),
};

export type RunOptions = ValuesOf<typeof runOptions>;

const leastCheckMs = 10;

function parseCheckInterval(given: string, text: string): number {
  return Math.max(leastCheckMs, parseDuration(given, text));
}

function parseStatusFile(given: string, text: string): string {
  if (text !== "") return text;
  throw new UsageError(`${given} is empty`, { hint: "name a file" });
}
