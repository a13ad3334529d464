import { type CheckResult, checkConfiguration } from "../../listing/check-configuration.ts";
import { lockJson } from "../../listing/lock-json.ts";
import { preflightText } from "../../listing/preflight-text.ts";
import type { Configuration } from "../../model/configuration.ts";
import { exitCodes } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { doneRuleFor } from "../../run/done-rule.ts";
import { findDone } from "../../run/find-done.ts";
import { defineCommand, negatedFlag, type ValuesOf } from "../command.ts";
import { doneDeclarationFrom, doneOptions } from "../done-options.ts";
import { evidenceOptions, examineFrom } from "../evidence-options.ts";
import { print, printJson, say } from "../output.ts";
import { configurationOptions, jsonOption, openWith, siteOptions } from "../site-options.ts";

const options = {
  ...configurationOptions,
  ...siteOptions,
  ...jsonOption,
  ...evidenceOptions,
  ...doneOptions,
  done: negatedFlag("look at locks alone, whatever the site declares under `done:`"),
};

export const command = defineCommand({
  summary: "say whether a configuration may be trained now",
  options,
  examples: [
    "trainlock check --strategy baseline --dataset IDD-AW \\\n    --model deeplabv3plus_r50",
    "trainlock check --name baseline/idd-aw/deeplabv3plus_r50",
    "trainlock check --strategy baseline --dataset IDD-AW \\\n    --model deeplabv3plus_r50 --done-when 'iter_80000.pth'",
  ],
  exitCodes: {
    0: "safe to proceed",
    1: "locked, or not certain to be free",
    2: "the call is wrong",
    3: "the environment is wrong, or another configuration's training lies in the weights dir",
    4: "already trained, by the done rule of the site or the call",
  },
  execute: check,
});

async function check(given: ValuesOf<typeof options>): Promise<number> {
  const { configuration, layout } = openWith(given);
  // The files first: what is there while nobody holds the configuration was finished before.
  const found = given.done
    ? await findDone(layout, configuration, doneRuleFor(layout, configuration, doneDeclarationFrom(given)))
    : null;
  const result = await checkConfiguration(layout, configuration, examineFrom(given, layout));
  if (result.lockedBy === null && found?.kind === "another's") throw found.error;
  const checkpoint = result.lockedBy === null && found?.kind === "done" ? found.path : null;
  const status = result.lockedBy !== null ? "locked" : checkpoint !== null ? "done" : "free";
  if (given.json) {
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
  if (result.lockedBy !== null) say(preflightText(configuration, result.lockedBy));
  else if (checkpoint !== null) say(`SKIP: Final checkpoint already exists: ${printable(checkpoint)}`);
  else print(`FREE ${printable(result.name)}\n`);
}
