import { generationFrom, type HeldReport, heldByConfiguration, heldByEnvironment } from "../../listing/held.ts";
import { holderText } from "../../listing/holder-text.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { defineCommand, type ValuesOf, value } from "../command.ts";
import { printJson, say } from "../output.ts";
import { configurationOptions, jsonOption, openWith, siteOptions } from "../site-options.ts";

const options = {
  ...configurationOptions,
  ...siteOptions,
  ...jsonOption,
  generation: value(
    "<number>",
    "the claim must have this one; without it, the one of TRAINLOCK_GENERATION",
    parseGeneration,
  ),
};

type HeldOptions = ValuesOf<typeof options>;

export const command = defineCommand({
  summary: "inside `run`: check that the lock is still held, before writing a checkpoint",
  options,
  examples: [
    "trainlock held || exit 1             # in a script under `trainlock run`",
    'trainlock held && mv iter_80000.tmp \\\n    "$TRAINLOCK_WEIGHTS_DIR/iter_80000.g$TRAINLOCK_GENERATION.pth"',
    "trainlock held --strategy baseline --dataset IDD-AW \\\n    --model deeplabv3plus_r50 --generation 7",
  ],
  exitCodes: {
    0: "held",
    1: "not held: another holds it, or it was released",
    2: "the call is wrong, or not under `trainlock run`",
    3: "it cannot be determined",
  },
  execute: held,
});

async function held(given: HeldOptions): Promise<number> {
  const report = namesConfiguration(given)
    ? await outside(given)
    : await heldByEnvironment(process.env, given.generation ?? null);
  if (given.json) printJson(jsonOf(report));
  else if (report.held !== true) say(`trainlock: ${printable(report.name)} ${textOf(report)}`);
  if (report.held === null) return exitCodes.environment;
  return report.held ? exitCodes.ok : exitCodes.locked;
}

function outside(given: HeldOptions): Promise<HeldReport> {
  const { layout, configuration } = openWith(given);
  if (given.generation !== undefined) return heldByConfiguration(layout, configuration, given.generation);
  throw new UsageError("--generation is missing", {
    hint: "it says which claim of the configuration is meant; inside `trainlock run`, call `trainlock held` alone",
  });
}

/** Any option that says which lock is meant: then the environment is not asked, not even for what is missing. */
function namesConfiguration(given: HeldOptions): boolean {
  const naming = Object.keys({ ...configurationOptions, root: 0, lockDir: 0, config: 0, store: 0 });
  return naming.some((key) => given[key as keyof HeldOptions] !== undefined);
}

function parseGeneration(flag: string, text: string): number {
  const generation = generationFrom(text);
  if (generation !== null) return generation;
  throw new UsageError(`${flag} ${JSON.stringify(text)} is not a generation`, { hint: "a number, 1 or more" });
}

function textOf({ held, why, holder, generation }: HeldReport): string {
  const since = holder?.acquiredAt == null ? "" : `, since ${printable(holder.acquiredAt)}`;
  const number = generation === null ? "" : `generation ${generation}, `;
  const who = holder === null ? "" : `; last recorded: ${number}${holderText(holder)}${since}`;
  return `${held === null ? "is not known to be held" : "is not held"}: ${printable(why)}${who}`;
}

function jsonOf({ held, generation, token, name, why, holder }: HeldReport) {
  return { held, generation, ...(token === null ? {} : { token }), name, why, holder };
}
