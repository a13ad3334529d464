import type { DimensionValues } from "./dimensions.ts";
import { UsageError } from "./errors.ts";
import { requireName } from "./names.ts";

/** What must not be trained twice at once. Two configurations are the same when all fields are. */
export interface Configuration {
  readonly strategy: string;
  readonly dataset: string;
  readonly model: string;
  /** Share of generated data, 0 to 1. */
  readonly ratio: number | null;
  readonly auxLoss: string | null;
  /** An integer becomes the prefix `sN_` of the lock name, a text T becomes `T_`. */
  readonly stage: number | string | null;
  /** What the site declares beyond these, by name: a seed, a fold. */
  readonly dimensions: DimensionValues;
}

export interface ConfigurationInput {
  readonly strategy?: string | undefined;
  readonly dataset?: string | undefined;
  readonly model?: string | undefined;
  readonly ratio?: number | string | null | undefined;
  readonly auxLoss?: string | null | undefined;
  readonly stage?: number | string | null | undefined;
}

/** The option of each field on a command line. A dimension has none: it is given by `--set`. */
export const fieldOptions: Readonly<Record<string, string>> = {
  strategy: "--strategy",
  dataset: "--dataset",
  model: "--model",
  ratio: "--ratio",
  aux_loss: "--aux-loss",
  stage: "--stage",
};

function parseRatio(value: number | string): number {
  const text = String(value).trim();
  const number = /^[+]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN;
  if (!(number >= 0 && number <= 1)) {
    throw new UsageError(`--ratio ${JSON.stringify(value)} is not a number from 0 to 1`, {
      hint: "for example --ratio 0.5",
    });
  }
  return number;
}

function parseStage(value: number | string): number | string {
  const text = String(value);
  return /^\d{1,9}$/.test(text) ? Number(text) : requireName("--stage", text);
}

/**
 * Validates what a caller gave, but for dimensions: those are the layout's to know. Throws {@link UsageError} that names the flag
 * and the value.
 */
export function parseConfiguration(input: ConfigurationInput): Configuration {
  return {
    strategy: requireName("--strategy", input.strategy),
    dataset: requireName("--dataset", input.dataset),
    model: requireName("--model", input.model),
    ratio: input.ratio === undefined || input.ratio === null ? null : parseRatio(input.ratio),
    auxLoss: input.auxLoss === undefined || input.auxLoss === null ? null : requireName("--aux-loss", input.auxLoss),
    stage: input.stage === undefined || input.stage === null ? null : parseStage(input.stage),
    dimensions: {},
  };
}

/** One line for messages that must tell two configurations apart. */
export function describeConfiguration(configuration: Configuration): string {
  const { strategy, dataset, model, ratio, auxLoss, stage, dimensions } = configuration;
  const parts = [`strategy ${strategy}`, `dataset ${dataset}`, `model ${model}`];
  if (ratio !== null) parts.push(`ratio ${ratio}`);
  if (auxLoss !== null) parts.push(`aux loss ${auxLoss}`);
  if (stage !== null) parts.push(`stage ${stage}`);
  for (const [name, value] of Object.entries(dimensions)) parts.push(`${name} ${value}`);
  return parts.join(", ");
}
