import { resolve } from "node:path";
import type { Command } from "commander";
import { exitCodes, messageOf, TrainlockError, UsageError } from "../../model/errors.ts";
import { checkLockReach } from "../../run/lock-reach.ts";
import { exitCodeOf, isNotFound, runCommand } from "../../run/run-command.ts";
import type { RunOutcome, RunRequest } from "../../run/run-request.ts";
import { type RunOf, requireWritableStatus, statusOf, writeStatus } from "../../run/run-status.ts";
import { openStore } from "../../stores/open-store.ts";
import { type Launch, launchFrom } from "../../stores/ranks/launch.ts";
import { isRankStatus } from "../../stores/ranks/rank-status.ts";
import type { Busy } from "../../stores/store.ts";
import { errnoName } from "../../system/libc/errno.ts";
import { dieOfInterrupt, signalNumber } from "../../system/processes/signals.ts";
import { addEvidenceOptions, examineFrom } from "../evidence-options.ts";
import { say } from "../output.ts";
import { skipHolderText } from "../show/lock-text.ts";
import { printable } from "../show/printable.ts";
import { showProgress } from "../show/run-progress.ts";
import { addConfigurationOptions, addSiteOptions, openWith } from "../site-options.ts";
import { parseDuration } from "../units.ts";
import {
  addRunOptions,
  checkEveryMsFrom,
  doneRuleFrom,
  environmentHelp,
  type RunOptions,
  runHelpEnd,
  waitMsFrom,
} from "./run-options.ts";

export function addRunCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program.command("run").description("run a command while holding the locks of a configuration");
  addRunOptions(addEvidenceOptions(addSiteOptions(addConfigurationOptions(command))))
    .argument("<command...>", "the command and its arguments, after --")
    .usage("--strategy S --dataset D --model M [options] -- COMMAND [ARG...]")
    .passThroughOptions()
    .addHelpText("after", environmentHelp)
    .addHelpText("after", runHelpEnd)
    .action(async (argv: string[], options: RunOptions) => done(await run(argv, options)));
}

async function run(argv: string[], options: RunOptions): Promise<number> {
  const status = options.status === undefined ? null : resolve(options.status);
  if (options.status === "") throw new UsageError("--status is empty", { hint: "name a file" });
  if (status !== null) requireWritableStatus(status);
  let of: RunOf = { name: null, configuration: null, generation: null, command: argv };
  const report = (outcome: RunOutcome | TrainlockError, exitCode: number) => {
    if (status === null) return;
    try {
      writeStatus(status, statusOf(of, outcome, exitCode));
    } catch (error) {
      say(`trainlock: ${printable(messageOf(error))}`);
    }
  };
  try {
    const { outcome, exitCode } = await runAndSettle(argv, options, (known) => {
      of = { ...of, ...known };
    });
    report(outcome, exitCode);
    if (outcome.kind === "ended" && outcome.interrupted !== null) dieOfInterrupt(outcome.interrupted);
    return exitCode;
  } catch (error) {
    if (error instanceof TrainlockError) report(error, error.exitCode);
    throw error;
  }
}

async function runAndSettle(
  [program, ...args]: string[],
  options: RunOptions,
  know: (known: Partial<RunOf>) => void,
): Promise<{ readonly outcome: RunOutcome; readonly exitCode: number }> {
  if (program === undefined || program === "") throw new UsageError("no command to run", { hint: "give it after --" });
  const { configuration, layout } = openWith(options);
  know({ configuration, name: layout.displayName(configuration) });
  const limits = await checkLockReach(layout);
  if (limits !== null && layout.store === null && options.quiet !== true) say(`trainlock: ${printable(limits)}`);
  const progress = showProgress(options.quiet === true, options.onLost === "stop");
  const killAfterMs = parseDuration("--kill-after", options.killAfter);
  const request: RunRequest = {
    layout,
    // Anew for each attempt: what other hosts and schedulers said is remembered, and after a wait it is out of date.
    store: await openStore(layout, (facts) => examineFrom(options, layout)(facts), {
      checkEveryMs: checkEveryMsFrom(options),
      guard: { stops: options.onLost === "stop", killAfterMs },
      onNote: progress.warning,
    }),
    configuration,
    argv: [program, ...args],
    done: doneRuleFrom(options),
    leads: true,
    waitMs: waitMsFrom(options),
    onLost: options.onLost,
    killAfterMs,
    leftovers: options.leftovers ?? null,
    dieWithWrapper: options.dieWithWrapper === true,
    tell: {
      ...progress,
      held: (lock) => {
        know({ generation: lock.generation });
        progress.held(lock);
      },
    },
  };
  const launch = launchFrom(process.env);
  if (launch !== null && options.ranks === undefined) warnOfRanks(launch);
  // One process a job is the usual case, and does not load this.
  const ranked = launch !== null && options.ranks === "job" ? await import("../../run/run-ranked.ts") : null;
  const outcome = await (ranked !== null && launch !== null ? ranked.runRanked(request, launch) : runCommand(request));
  const exitCode = settle(outcome, program, options);
  progress.ended(outcome, exitCode);
  return { outcome, exitCode };
}

function settle(outcome: RunOutcome, program: string, options: RunOptions): number {
  switch (outcome.kind) {
    case "ended":
      return exitCodeOf(outcome.ending);
    case "done":
      say(`SKIP: Final checkpoint already exists: ${printable(outcome.checkpoint)}`);
      return exitCodes.ok;
    case "locked":
      showLocked(outcome.busy);
      return options.onLocked === "skip" ? exitCodes.ok : exitCodes.lockedByAnother;
    case "lost":
      return exitCodes.lockLost;
    case "interrupted":
      return exitCodes.signalBase + signalNumber(outcome.signal);
    case "not started":
      if (isNotFound(outcome.errno)) {
        say(`trainlock: ${printable(program)}: command not found`);
        return exitCodes.notFound;
      }
      say(`trainlock: ${printable(program)}: cannot be executed: ${errnoName(outcome.errno)}`);
      return exitCodes.cannotExecute;
  }
}

function warnOfRanks({ rank, size }: Launch): void {
  if (rank > 0 || size === null || size < 2) return;
  say(`trainlock: each of the ${size} tasks of this launch asks for the lock, and one gets it: give --ranks job`);
}

function showLocked({ holder, verdict, evidence, path }: Busy): void {
  if (isRankStatus(path)) {
    say("SKIP: rank 0 of this launch was turned away");
    return;
  }
  say(`SKIP: Another job (${skipHolderText(holder)}) is already training this model`);
  if (verdict.status === "active") return;
  say(
    `trainlock: ${printable(path)} [${verdict.label}]: ${evidence.map(({ detail }) => printable(detail)).join("; ")}`,
  );
}
