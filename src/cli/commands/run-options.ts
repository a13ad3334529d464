import { type Command, Option } from "commander";
import { UsageError } from "../../model/errors.ts";
import { type DoneRule, smallestCheckpointBytes } from "../../run/done-rule.ts";
import type { LeftoverPolicy } from "../../run/leftovers.ts";
import type { EvidenceOptions } from "../evidence-options.ts";
import { helpEnd } from "../help.ts";
import type { ConfigurationOptions, SiteOptions } from "../site-options.ts";
import { parseDuration, parseSize } from "../units.ts";
import { collect } from "./check.ts";

export interface RunOptions extends SiteOptions, ConfigurationOptions, EvidenceOptions {
  readonly wait?: string | true;
  readonly onLocked: "fail" | "skip";
  readonly onLost: "stop" | "warn";
  readonly doneWhen?: readonly string[];
  readonly doneMinSize?: string;
  readonly doneFile?: string;
  readonly ranks?: "job";
  readonly killAfter: string;
  readonly checkEvery: string;
  readonly status?: string;
  readonly leftovers?: LeftoverPolicy;
  readonly dieWithWrapper?: boolean;
  readonly quiet?: boolean;
  readonly ttl?: string;
  readonly alsoMarker?: boolean;
}

export function addRunOptions(command: Command): Command {
  return command
    .option("--wait [duration]", "wait for the lock, at most this long (30s, 10m, 2h, 1d); without a value, no limit")
    .addOption(
      new Option("--on-locked <what>", "when another job holds the lock: fail with exit 75, or skip with exit 0")
        .choices(["fail", "skip"])
        .default("fail"),
    )
    .option("--done-when <glob>", "a file in the weights dir that proves training is done; may be repeated", collect)
    .option("--done-min-size <size>", "the least size of a --done-when file (default: 1K)")
    .option(
      "--done-file <name>",
      "write this file into the weights dir when the command ends with 0; where it is, skip",
    )
    .addOption(
      new Option("--on-lost <what>", "when the lock is lost: stop the command and exit 74, or warn")
        .choices(["stop", "warn"])
        .default("stop"),
    )
    .addOption(
      new Option("--ranks <how>", "under srun, mpirun or torchrun: rank 0 takes the lock for all ranks").choices([
        "job",
      ]),
    )
    .option("--kill-after <duration>", "from SIGTERM to SIGKILL, and for what the command leaves behind", "30s")
    .addOption(
      new Option(
        "--leftovers <what>",
        "processes that go on when the command has ended: kill them after --kill-after, wait for them, or leave them " +
          "without the lock (default: kill, but after exit code 0 wait for those in sessions of their own)",
      ).choices(["kill", "wait", "leave"]),
    )
    .option("--die-with-wrapper", "when trainlock itself is killed, end the command and all it started")
    .option("--check-every <duration>", "how often to check that the lock is still held", "30s")
    .option("--ttl <duration>", "in a store: the lock expires this long after the last renewal (60s)")
    .option("--also-marker", "in a store: also write the marker, for jobs that only know markers")
    .option("--no-also-marker", "in a store: write no marker (default: write one where such jobs may run)")
    .option("--status <file>", "write the outcome to this file as JSON (replaced in one step)")
    .option("--quiet", "print no progress, not even on a terminal");
}

export function waitMsFrom({ wait }: RunOptions): number {
  if (wait === undefined) return 0;
  return wait === true ? Number.POSITIVE_INFINITY : parseDuration("--wait", wait);
}

const leastCheckMs = 10;

export function checkEveryMsFrom({ checkEvery }: RunOptions): number {
  return Math.max(leastCheckMs, parseDuration("--check-every", checkEvery));
}

export function doneRuleFrom({ doneWhen, doneMinSize, doneFile }: RunOptions): DoneRule {
  const smallestBytes = doneMinSize === undefined ? smallestCheckpointBytes : parseSize("--done-min-size", doneMinSize);
  const isName = doneFile === undefined || /^(?!\.{1,2}$|\.training_lock)[^/\p{Cc}]{1,200}$/u.test(doneFile);
  if (!isName) {
    throw new UsageError(`--done-file ${JSON.stringify(doneFile)} is not the name of a file in the weights dir`, {
      hint: "for example --done-file trained.json",
    });
  }
  return { patterns: doneWhen ?? [], smallestBytes, file: doneFile ?? null };
}

export const environmentHelp =
  "\nThe command's environment has TRAINLOCK_WEIGHTS_DIR, TRAINLOCK_GENERATION, TRAINLOCK_TOKEN, TRAINLOCK_LOCK, TRAINLOCK_NAME and TRAINLOCK_PID;\n`trainlock held` in it says whether the lock still is held.";

export const runHelpEnd = helpEnd(
  [
    "trainlock run --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50 -- python train.py",
    "trainlock run --strategy gen_IP2P --dataset IDD-AW --model segformer_mit-b5 --ratio 0.5 \\",
    "    --done-when 'iter_80000.pth' --on-locked skip -- bash train.sh",
    "trainlock run --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50 --wait=2h -- bash train.sh",
  ],
  {
    0: "the command's own 0; already trained; locked with --on-locked skip",
    2: "the call is wrong",
    3: "the environment is wrong, nothing was started",
    74: "the lock was lost while the command ran, and the command was stopped",
    75: "locked by another, the command was not started",
    126: "the command cannot be executed",
    127: "the command is not found",
    "128+N": "the command died of signal N, or that signal ended the wait",
    other: "the command's own",
  },
);
