import type { Command } from "commander";
import { type CheckResult, checkConfiguration } from "../../listing/check-configuration.ts";
import { lockJson } from "../../listing/lock-json.ts";
import type { LockReport } from "../../listing/lock-report.ts";
import type { Configuration } from "../../model/configuration.ts";
import { exitCodes } from "../../model/errors.ts";
import { findCheckpoint } from "../../run/done-rule.ts";
import { nobodyKnown } from "../../stores/claim-record.ts";
import { addEvidenceOptions, type EvidenceOptions, examineFrom } from "../evidence-options.ts";
import { helpEnd } from "../help.ts";
import { print, printJson, say } from "../output.ts";
import { holderText } from "../show/lock-text.ts";
import { printable } from "../show/printable.ts";
import {
  addConfigurationOptions,
  addJsonOption,
  addSiteOptions,
  type ConfigurationOptions,
  openWith,
  type SiteOptions,
} from "../site-options.ts";

interface CheckOptions extends SiteOptions, ConfigurationOptions, EvidenceOptions {
  readonly doneWhen?: readonly string[];
}

/** For options that may be repeated. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

export function addCheckCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program.command("check").description("say whether a configuration may be trained now");
  addEvidenceOptions(addJsonOption(addSiteOptions(addConfigurationOptions(command))))
    .option(
      "--done-when <glob>",
      "a file in the weights dir, of 1 KiB or more, that shows it to be trained; may be repeated",
      collect,
    )
    .addHelpText(
      "after",
      helpEnd(
        [
          "trainlock check --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50",
          "trainlock check --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50 --done-when 'iter_80000.pth'",
        ],
        {
          0: "safe to proceed",
          1: "locked, or not certain to be free",
          2: "the call is wrong",
          3: "the environment is wrong",
          4: "already trained (with --done-when)",
        },
      ),
    )
    .action(async (options: CheckOptions) => done(await check(options)));
}

async function check(options: CheckOptions): Promise<number> {
  const { configuration, layout } = openWith(options);
  const result = await checkConfiguration(layout, configuration, examineFrom(options, layout));
  const checkpoint = result.lockedBy === null ? await findCheckpoint(result.weightsDir, options.doneWhen ?? []) : null;
  const status = result.lockedBy !== null ? "locked" : checkpoint !== null ? "done" : "free";
  if (options.json) {
    printJson({
      name: result.name,
      status,
      weightsDir: result.weightsDir,
      checkpoint,
      locks: result.locks.map(lockJson),
    });
  } else showCheck(result, checkpoint, configuration);
  return { locked: exitCodes.locked, done: exitCodes.alreadyTrained, free: exitCodes.ok }[status];
}

function showCheck(result: CheckResult, checkpoint: string | null, configuration: Configuration): void {
  for (const lock of result.stale) {
    say(`trainlock: a stale lock does not count: ${printable(lock.path)} [${lock.verdict.label}]`);
  }
  if (result.lockedBy !== null) say(lockedText(configuration, result.lockedBy));
  else if (checkpoint !== null) say(`SKIP: Final checkpoint already exists: ${printable(checkpoint)}`);
  else print(`FREE ${printable(result.name)}\n`);
}

/** The block that users of the Python script know; an uncertain lock adds why it counts. */
function lockedText(configuration: Configuration, lock: LockReport): string {
  const holder = lock.holder ?? { ...nobodyKnown, pid: lock.pid };
  const uncertain = lock.verdict.status === "unknown";
  const doubts = lock.evidence.map(({ detail }) => printable(detail)).join("; ");
  return [
    "[PRE-FLIGHT CHECK FAILED]",
    "Configuration is already being trained:",
    `  Strategy: ${printable(configuration.strategy)}`,
    `  Dataset: ${printable(configuration.dataset)}`,
    `  Model: ${printable(configuration.model)}`,
    `  Held by: ${holderText(holder)}`,
    ...(lock.startedAt === null ? [] : [`  Since: ${printable(lock.startedAt)}`]),
    ...(uncertain ? [`  Status: ${lock.verdict.label} (${doubts})`] : []),
    "Skipping to avoid duplicate training.",
  ].join("\n");
}
