import { type Command, Option } from "commander";
import { claimStore } from "../../locks/claim.ts";
import type { Busy } from "../../locks/lock.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { exitCodeOf, isNotFound, type RunOutcome, runCommand } from "../../operations/run-command.ts";
import { errnoName } from "../../system/errno.ts";
import { addEvidenceOptions, type EvidenceOptions, examineFrom } from "../evidence-options.ts";
import { helpEnd } from "../help.ts";
import { say } from "../output.ts";
import { skipHolderText } from "../show/lock-text.ts";
import { printable } from "../show/printable.ts";
import {
  addConfigurationOptions,
  addSiteOptions,
  type ConfigurationOptions,
  openWith,
  type SiteOptions,
} from "../site-options.ts";
import { collect } from "./check.ts";

interface RunOptions extends SiteOptions, ConfigurationOptions, EvidenceOptions {
  readonly onLocked: "fail" | "skip";
  readonly onLost: "stop" | "warn";
  readonly doneWhen?: readonly string[];
}

const killAfterMs = 30_000;

export function addRunCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program.command("run").description("run a command while holding the locks of a configuration");
  addEvidenceOptions(addSiteOptions(addConfigurationOptions(command)))
    .addOption(
      new Option("--on-locked <what>", "when another has it: exit 75, or skip with exit 0")
        .choices(["fail", "skip"])
        .default("fail"),
    )
    .option(
      "--done-when <glob>",
      "a file in the weights dir, of 1 KiB or more, that shows it to be trained; may be repeated",
      collect,
    )
    .addOption(
      new Option("--on-lost <what>", "when the lock is lost: stop the command and exit 74, or warn")
        .choices(["stop", "warn"])
        .default("stop"),
    )
    .argument("<command...>", "the command and its arguments, after --")
    .usage("--strategy S --dataset D --model M [options] -- COMMAND [ARG...]")
    .passThroughOptions()
    .addHelpText(
      "after",
      "\nThe command's environment has TRAINLOCK_WEIGHTS_DIR, TRAINLOCK_GENERATION, TRAINLOCK_TOKEN and TRAINLOCK_NAME.",
    )
    .addHelpText(
      "after",
      helpEnd(
        [
          "trainlock run --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50 -- python train.py",
          "trainlock run --strategy gen_IP2P --dataset IDD-AW --model segformer_mit-b5 --ratio 0.5 \\",
          "    --done-when 'iter_80000.pth' --on-locked skip -- bash train.sh",
        ],
        {
          0: "the command's own 0; already trained; locked with --on-locked skip",
          2: "the call is wrong",
          3: "the environment is wrong, nothing was started",
          74: "the lock was lost while the command ran, and the command was stopped",
          75: "locked by another, the command was not started",
          126: "the command cannot be executed",
          127: "the command is not found",
          "128+N": "the command died of signal N",
          other: "the command's own",
        },
      ),
    )
    .action(async (argv: string[], options: RunOptions) => done(await run(argv, options)));
}

async function run([program, ...args]: string[], options: RunOptions): Promise<number> {
  if (program === undefined || program === "") throw new UsageError("no command to run", { hint: "give it after --" });
  const { configuration, layout } = openWith(options);
  const outcome = await runCommand({
    layout,
    store: claimStore(layout, examineFrom(options)),
    configuration,
    argv: [program, ...args],
    env: process.env,
    doneWhen: options.doneWhen ?? [],
    onLost: options.onLost,
    killAfterMs,
    onHeld: () => undefined,
    onLostLock: (why) =>
      say(
        `trainlock: the lock was lost: ${printable(why)}${options.onLost === "stop" ? "; stopping the command" : ""}`,
      ),
    onWarning: (text) => say(`trainlock: ${printable(text)}`),
  });
  return settle(outcome, program, options);
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
      return exitCodes.signalBase + outcome.signal;
    case "not started":
      if (isNotFound(outcome.errno)) {
        say(`trainlock: ${printable(program)}: command not found`);
        return exitCodes.notFound;
      }
      say(`trainlock: ${printable(program)}: cannot be executed: ${errnoName(outcome.errno)}`);
      return exitCodes.cannotExecute;
  }
}

function showLocked({ holder, verdict, evidence, path }: Busy): void {
  say(`SKIP: Another job (${skipHolderText(holder)}) is already training this model`);
  if (verdict.status !== "unknown") return;
  say(
    `trainlock: ${printable(path)} [${verdict.label}]: ${evidence.map(({ detail }) => printable(detail)).join("; ")}`,
  );
}
