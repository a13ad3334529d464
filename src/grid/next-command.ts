import type { Configuration } from "../model/configuration.ts";
import { shellWord } from "../model/shell-word.ts";
import { hasEndedWellWithoutRule, isTrainable, type PlannedRow } from "./plan.ts";
import { partsOfRowName, withStage } from "./row-name.ts";

/** `--strategy baseline --dataset IDD-AW --model pspnet_r50`, ready for a shell. */
export function configurationFlags(configuration: Configuration): string {
  return configurationPairs(configuration)
    .map(([flag, value]) => `${flag} ${shellWord(value)}`)
    .join(" ");
}

/** The same as arguments, one for each option. */
export function configurationArguments(configuration: Configuration): string[] {
  return configurationPairs(configuration).map(([flag, value]) => `${flag}=${value}`);
}

function configurationPairs(configuration: Configuration): [string, string][] {
  const { strategy, dataset, model, ratio, auxLoss, stage, dimensions } = configuration;
  const given: [string, string | number | null][] = [
    ["--strategy", strategy],
    ["--dataset", dataset],
    ["--model", model],
    ["--ratio", ratio],
    ["--aux-loss", auxLoss],
    ["--stage", stage],
  ];
  const fixed = given.flatMap(([flag, value]): [string, string][] => (value === null ? [] : [[flag, String(value)]]));
  const own = Object.entries(dimensions).map(([name, value]): [string, string] => ["--set", `${name}=${value}`]);
  return [...fixed, ...own];
}

/** What says why a row is in its state. `gridFile`: the one that the call named. */
export function whyCommand(rowName: string, gridFile: string | null): string {
  const { name, stage } = partsOfRowName(rowName);
  const ofStage = stage === null ? "" : ` --stage ${shellWord(stage)}`;
  return `trainlock why ${shellWord(name)}${ofStage}${gridFile === null ? "" : ` --grid ${shellWord(gridFile)}`}`;
}

/** Options of the call that the next one takes, too, ready for a shell, each after a blank. */
interface PassedOn {
  /** Those that select rows. */
  readonly selection: string;
  /** Those of the done rule. */
  readonly done: string;
}

/** The command to type next, by what is left; null: nothing is. `gridFile`: the one that the call named. */
export function nextCommand(
  rows: readonly PlannedRow[],
  gridFile: string | null = null,
  { selection, done }: PassedOn = { selection: "", done: "" },
): string | null {
  const first = (...states: PlannedRow["state"][]) => rows.find(({ state }) => states.includes(state));
  const trainable = rows.find(isTrainable);
  if (trainable !== undefined) {
    // A grid may have a done rule of its own, which `run` does not know.
    if (gridFile !== null) return `trainlock work ${shellWord(gridFile)}${selection}${done} -- COMMAND`;
    return `trainlock run ${configurationFlags(trainable.configuration)}${done} -- COMMAND`;
  }
  const finished = rows.find(({ state, doneBy }) => state === "unknown" && doneBy !== null);
  if (finished !== undefined) {
    return `trainlock clear ${configurationFlags(finished.configuration)} --force --no-dry-run`;
  }
  const unclear = first("unknown", "failed", "blocked");
  if (unclear !== undefined) return `${whyCommand(withStage(unclear.name, unclear.configuration), gridFile)}${done}`;
  if (first("running", "queued") !== undefined) return "trainlock list";
  if (!rows.some(hasEndedWellWithoutRule)) return null;
  return `trainlock plan ${gridFile === null ? "" : `${shellWord(gridFile)} `}--done-when PATTERN`;
}
