import type { Command } from "commander";
import { generationFrom, type HeldReport, heldByConfiguration, heldByEnvironment } from "../../listing/held.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { helpEnd } from "../help.ts";
import { printJson, say } from "../output.ts";
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

interface HeldOptions extends SiteOptions, ConfigurationOptions {
  readonly generation?: string;
}

export function addHeldCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command("held")
    .description("inside `run`: check that the lock is still held, before writing a checkpoint");
  addJsonOption(addSiteOptions(addConfigurationOptions(command)))
    .option("--generation <number>", "the claim must have this one; without it, the one of TRAINLOCK_GENERATION")
    .addHelpText(
      "after",
      helpEnd(
        [
          "trainlock held || exit 1                       # in a script under `trainlock run`",
          'trainlock held && mv iter_80000.tmp "$TRAINLOCK_WEIGHTS_DIR/iter_80000.g$TRAINLOCK_GENERATION.pth"',
          "trainlock held --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50 --generation 7",
        ],
        {
          0: "held",
          1: "not held: another has it, or it was given back",
          2: "the call is wrong, or not under `trainlock run`",
          3: "it cannot be told",
        },
      ),
    )
    .action(async (options: HeldOptions) => done(await held(options)));
}

async function held(options: HeldOptions): Promise<number> {
  const generation = options.generation === undefined ? null : parseGeneration(options.generation);
  const report = namesConfiguration(options)
    ? await outside(options, generation)
    : await heldByEnvironment(process.env, generation);
  if (options.json) printJson(jsonOf(report));
  else if (report.held !== true) say(`trainlock: ${printable(report.name)} ${textOf(report)}`);
  if (report.held === null) return exitCodes.environment;
  return report.held ? exitCodes.ok : exitCodes.locked;
}

function outside(options: HeldOptions, generation: number | null): Promise<HeldReport> {
  const { layout, configuration } = openWith(options);
  if (generation !== null) return heldByConfiguration(layout, configuration, generation);
  throw new UsageError("--generation is missing", {
    hint: "it tells which claim of the configuration is meant; inside `trainlock run`, call `trainlock held` alone",
  });
}

/** Any option that says which lock is meant: then the environment is not asked, not even for what is missing. */
function namesConfiguration({ generation: _, json: __, color: ___, ...naming }: HeldOptions): boolean {
  return Object.values(naming).some((value) => value !== undefined);
}

function parseGeneration(text: string): number {
  const generation = generationFrom(text);
  if (generation !== null) return generation;
  throw new UsageError(`--generation ${JSON.stringify(text)} is not a generation`, { hint: "a number, 1 or more" });
}

function textOf({ held, why, holder, generation }: HeldReport): string {
  const since = holder?.acquiredAt == null ? "" : `, since ${printable(holder.acquiredAt)}`;
  const number = generation === null ? "" : `generation ${generation}, `;
  const who = holder === null ? "" : `; last recorded: ${number}${holderText(holder)}${since}`;
  return `${held === null ? "cannot be told to be held" : "is not held"}: ${printable(why)}${who}`;
}

function jsonOf({ held, generation, token, name, why, holder }: HeldReport) {
  return { held, generation, ...(token === null ? {} : { token }), name, why, holder };
}
