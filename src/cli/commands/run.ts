import { join, resolve } from "node:path";
import "../bun-ffi.ts";
import { openEventLog } from "../../history/event-log.ts";
import { livingText, skipHolderText } from "../../listing/holder-text.ts";
import type { Configuration } from "../../model/configuration.ts";
import { exitCodes, messageOf, TrainlockError, UsageError } from "../../model/errors.ts";
import type { Examine } from "../../model/examine.ts";
import { looksLikeSeveral } from "../../model/names.ts";
import { printable } from "../../model/printable.ts";
import { exitCodeOf } from "../../run/command-exit-code.ts";
import { doneRuleFor } from "../../run/done-rule.ts";
import { explainFailedStart } from "../../run/failed-start.ts";
import { checkLockReach } from "../../run/lock-reach.ts";
import { runCommand } from "../../run/run-command.ts";
import type { CommandOutput, RunOutcome, RunRequest } from "../../run/run-request.ts";
import {
  misplacedStatus,
  type RunOf,
  type RunStatus,
  requireFilePlace,
  requireStatusApart,
  requireWritableStatus,
  statusOf,
  writeStatus,
} from "../../run/run-status.ts";
import { submitterIn } from "../../run/submission.ts";
import { foreignGroup } from "../../site/foreign-group.ts";
import { openStore } from "../../stores/open-store.ts";
import { type Launch, launchFrom } from "../../stores/ranks/launch.ts";
import { isRankStatus } from "../../stores/ranks/rank-status.ts";
import type { Busy } from "../../stores/store.ts";
import { dieOfInterrupt, signalNumber } from "../../system/processes/signals.ts";
import { defineCommand, restOperand } from "../command.ts";
import { doneDeclarationFrom } from "../done-options.ts";
import { examineFrom } from "../evidence-options.ts";
import { say } from "../output.ts";
import { showProgress } from "../show/run-progress.ts";
import { openWith } from "../site-options.ts";
import { type RunOptions, runOptions } from "./run-options.ts";

export const command = defineCommand({
  summary: "run a command while holding the locks of a configuration",
  options: runOptions,
  operands: { command: restOperand("the command and its arguments, after --") },
  stopsAtOperand: true,
  usage: "--strategy S --dataset D --model M [options] \\\n           -- COMMAND [ARG...]",
  notes:
    "The command's environment has TRAINLOCK_WEIGHTS_DIR, TRAINLOCK_GENERATION, TRAINLOCK_TOKEN, TRAINLOCK_LOCK, " +
    "TRAINLOCK_NAME, TRAINLOCK_PID, TRAINLOCK_ATTEMPT and TRAINLOCK_LAST_EXIT. In it, `trainlock held` says whether the " +
    "lock is still held.",
  examples: [
    "trainlock run --strategy baseline --dataset IDD-AW \\\n    --model deeplabv3plus_r50 -- python train.py",
    "trainlock run --strategy gen_IP2P --dataset IDD-AW \\\n    --model segformer_mit-b5 --ratio 0.5 --done-when 'iter_80000.pth' \\\n    --on-locked skip -- bash train.sh",
    "trainlock run --strategy baseline --dataset IDD-AW \\\n    --model deeplabv3plus_r50 --wait=2h -- bash train.sh",
  ],
  exitCodes: {
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
  execute: ({ command: argv, ...options }) => run(argv, options),
});

/** For a worker, which follows the runs of its rows. */
export interface RunFollower extends Pick<RunRequest, "forgetsAttempts" | "againSinceMs" | "settledBy"> {
  readonly output: CommandOutput;
  /** `stopSignal`: one that stops trainings was passed on to the command; null: none was. */
  over(status: RunStatus, stopSignal: NodeJS.Signals | null): void;
}

/** What `trainlock run` does. Returns its exit code. `leftLock`: the kernel lock's descriptor, from who has left it to us. */
export async function run(
  argv: readonly string[],
  options: RunOptions,
  follower?: RunFollower,
  leftLock?: number,
): Promise<number> {
  const status = options.status === undefined ? null : resolve(options.status);
  if (status !== null) requireWritableStatus(status);
  let of: RunOf = { name: null, configuration: null, generation: null, command: argv };
  const report = (outcome: RunOutcome | TrainlockError, exitCode: number) => {
    follower?.over(statusOf(of, outcome, exitCode), "stopSignal" in outcome ? outcome.stopSignal : null);
    if (status === null) return;
    try {
      writeStatus(status, statusOf(of, outcome, exitCode));
    } catch (error) {
      say(`trainlock: ${printable(messageOf(error))}`);
      if (error instanceof TrainlockError && error.hint !== undefined) say(`  ${printable(error.hint)}`);
    }
  };
  try {
    const know = (known: Partial<RunOf>) => {
      of = { ...of, ...known };
    };
    const { outcome, exitCode } = await runAndSettle(argv, options, know, follower, leftLock);
    report(outcome, exitCode);
    if (outcome.kind === "ended" && outcome.interrupted !== null) dieOfInterrupt(outcome.interrupted);
    return exitCode;
  } catch (error) {
    if (error instanceof TrainlockError && error.code !== misplacedStatus) report(error, error.exitCode);
    throw error;
  }
}

async function runAndSettle(
  [program, ...args]: readonly string[],
  options: RunOptions,
  know: (known: Partial<RunOf>) => void,
  follower: RunFollower | undefined,
  leftLock: number | undefined,
): Promise<{ readonly outcome: RunOutcome; readonly exitCode: number }> {
  if (program === undefined || program === "") throw new UsageError("no command to run", { hint: "give it after --" });
  const { configuration, layout } = openWith(options);
  if (options.status !== undefined) requireStatusApart(resolve(options.status), layout);
  know({ configuration, name: layout.displayName(configuration) });
  if (follower === undefined && !options.quiet) warnOfLists(configuration);
  const limits = await checkLockReach(layout);
  if (limits !== null && layout.store === null && !options.quiet) say(`trainlock: ${printable(limits)}`);
  const foreign = foreignGroup(layout);
  if (foreign !== null && !options.quiet) say(`trainlock: ${printable(foreign)}; it has the group of its folder`);
  const progress = showProgress(options.quiet, options.onLost === "stop");
  // Anew for each attempt: what other hosts and schedulers said is remembered, and after a wait it is out of date.
  const examine: Examine = (facts) => examineFrom(options, layout)(facts);
  const request: RunRequest = {
    layout,
    store: await openStore(layout, examine, {
      checkEveryMs: options.checkEvery,
      leftLock,
      guard: { stops: options.onLost === "stop", killAfterMs: options.killAfter },
      killLeftBehindAfterMs: options.leftovers === "kill" ? options.killAfter : null,
      onNote: progress.warning,
      // Seldom needed, and not loaded before.
      lookAtFiles: async (of) =>
        (await import("../../listing/check-configuration.ts")).lookAtFiles(layout, of, examine),
    }),
    configuration,
    argv: [program, ...args],
    done: doneRuleFor(layout, configuration, doneDeclarationFrom(options)),
    isHeld: async () => {
      const { checkConfiguration } = await import("../../listing/check-configuration.ts");
      return (await checkConfiguration(layout, configuration, examine)).lockedBy !== null;
    },
    launch: null,
    leads: true,
    history: openEventLog(layout, progress.warning),
    waitMs: options.wait ?? 0,
    onLost: options.onLost,
    killAfterMs: options.killAfter,
    leftovers: options.leftovers ?? null,
    dieWithWrapper: options.dieWithWrapper,
    ...followed(follower),
    ...(leftLock === undefined ? {} : { leftLock }),
    tell: {
      ...progress,
      held: (lock, leads) => {
        know({ generation: lock.generation });
        progress.held(lock, leads);
      },
    },
  };
  refuseSubmission(request);
  const { file } = request.done;
  if (file !== null) requireFilePlace("--done-file", join(layout.weightsDir(configuration), file));
  const launch = launchFrom(process.env);
  if (launch !== null && options.ranks === undefined) warnOfRanks(launch);
  // One process a job is the usual case, and does not load this.
  const ranked = launch !== null && options.ranks === "job" ? await import("../../run/run-ranked.ts") : null;
  const outcome = await (ranked !== null && launch !== null ? ranked.runRanked(request, launch) : runCommand(request));
  const exitCode = settle(outcome, program, options);
  progress.ended(outcome, exitCode);
  return { outcome, exitCode };
}

/**
 * Refuses a command that only queues a job. Neither the lock nor a done file could say anything about the job: the submission
 * ends before the job begins.
 */
function refuseSubmission({ argv, done }: RunRequest): void {
  const submitter = submitterIn(argv);
  if (submitter === null) return;
  const why = `${submitter} only submits a job: the lock ends with the submission, before the job has begun`;
  const hint = `put \`trainlock run\` into the job, in front of the training: ${submitter} … trainlock run … -- python train.py`;
  if (done.file !== null) throw new UsageError(`${why}, and ${done.file} would say that it was trained`, { hint });
  say(`trainlock: ${why}; ${hint}`);
}

function followed(follower: RunFollower | undefined): Partial<RunRequest> {
  if (follower === undefined) return {};
  const { over, ...request } = follower;
  return request;
}

/** Decides the exit code of `run`, also that of a lost lock (74), and says on stderr why no command ran. */
function settle(outcome: RunOutcome, program: string, options: RunOptions): number {
  switch (outcome.kind) {
    case "ended":
      return exitCodeOf(outcome.ending);
    case "done":
      say(`SKIP: Final checkpoint already exists: ${printable(outcome.checkpoint)}`);
      return exitCodes.ok;
    case "ended well":
      say("SKIP: Its last run ended with exit code 0");
      return exitCodes.ok;
    case "used up":
      say(`SKIP: ${outcome.attempts} failed attempts, and no more are tried`);
      return exitCodes.ok;
    case "locked":
      showLocked(outcome.busy);
      return options.onLocked === "skip" ? exitCodes.ok : exitCodes.lockedByAnother;
    case "lost":
      return exitCodes.lockLost;
    case "interrupted":
      return exitCodes.signalBase + signalNumber(outcome.signal);
    case "not started":
      return showFailedStart(program, outcome.errno);
  }
}

function showFailedStart(program: string, errno: number): number {
  const { exitCode, why, hint } = explainFailedStart(program, errno);
  say(`trainlock: ${printable(program)}: ${printable(why)}`);
  say(`  ${printable(hint)}`);
  return exitCode;
}

function warnOfLists({ strategy, dataset, model }: Configuration): void {
  for (const [flag, name] of Object.entries({ strategy, dataset, model })) {
    if (!looksLikeSeveral(name)) continue;
    say(
      `trainlock: --${flag} ${printable(JSON.stringify(name))} is taken as one name: lists, patterns and {placeholders} are for plan, work and submit`,
    );
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
  const living = livingText(holder);
  if (living !== null) say(`trainlock: ${living}`);
  if (verdict.status === "active") return;
  say(
    `trainlock: ${printable(path)} [${verdict.label}]: ${evidence.map(({ detail }) => printable(detail)).join("; ")}`,
  );
}
