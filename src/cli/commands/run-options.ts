import { UsageError } from "../../model/errors.ts";
import type { DoneRule } from "../../run/done-rule.ts";
import {
  choice,
  choiceOr,
  eitherFlag,
  flag,
  optionalValue,
  repeatedValue,
  type ValuesOf,
  value,
  valueOr,
} from "../command.ts";
import { evidenceOptions } from "../evidence-options.ts";
import { configurationOptions, siteOptions } from "../site-options.ts";
import { parseDuration, parseSize } from "../units.ts";

export const runOptions = {
  ...configurationOptions,
  ...siteOptions,
  ...evidenceOptions,
  wait: optionalValue(
    "<duration>",
    "wait for the lock, at most this long (30s, 10m, 2h, 1d); without a value, no limit",
    Number.POSITIVE_INFINITY,
    parseDuration,
  ),
  onLocked: choiceOr(
    "<what>",
    "when another job holds the lock: fail with exit 75, or skip with exit 0",
    ["fail", "skip"],
    "fail",
  ),
  doneWhen: repeatedValue("<glob>", "a file in the weights dir that proves training is done; may be repeated"),
  doneMinSize: valueOr("<size>", "the least size of a --done-when file", "1K", parseSize),
  doneFile: value(
    "<name>",
    "write this file into the weights dir when the command ends with 0; where it is, skip",
    parseFileName,
  ),
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

function parseFileName(given: string, text: string): string {
  if (/^(?!\.{1,2}$|\.training_lock)[^/\p{Cc}]{1,200}$/u.test(text)) return text;
  throw new UsageError(`${given} ${JSON.stringify(text)} is not the name of a file in the weights dir`, {
    hint: `for example ${given} trained.json`,
  });
}

function parseStatusFile(given: string, text: string): string {
  if (text !== "") return text;
  throw new UsageError(`${given} is empty`, { hint: "name a file" });
}

type DoneOptions = Pick<RunOptions, "doneWhen" | "doneMinSize" | "doneFile">;

export function doneRuleFrom({ doneWhen, doneMinSize, doneFile }: DoneOptions): DoneRule {
  return { patterns: doneWhen ?? [], smallestBytes: doneMinSize, file: doneFile ?? null };
}
