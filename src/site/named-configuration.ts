import type { ConfigurationInput } from "../model/configuration.ts";
import type { DimensionValue } from "../model/dimensions.ts";
import { UsageError } from "../model/errors.ts";
import type { Layout } from "./layout.ts";

/** A configuration as its display name says it; a stage leaves no trace there. */
export interface NamedInput extends ConfigurationInput {
  readonly strategy: string;
  readonly dataset: string;
  readonly model: string;
  readonly ratio: number | null;
  readonly auxLoss: string | null;
  readonly dimensions: Readonly<Record<string, DimensionValue>>;
}

/**
 * What a name such as `gen_IP2P/idd-aw/segformer_mit-b5_ratio0p50` says, as `plan` and `list` show it; the dataset also as the
 * site spells it. Where the site declares its models, the model is one of these; else what ends like a ratio, an auxiliary loss
 * or a declared dimension is one. Throws a UsageError for what is no name, or fits two configurations.
 */
export function readName(layout: Layout, name: string): NamedInput {
  const [strategy = "", dataset = "", folder = "", ...more] = name.split("/");
  if (strategy === "" || dataset === "" || folder === "" || more.length > 0) {
    throw new UsageError(`--name ${JSON.stringify(name)} is not STRATEGY/DATASET/MODEL`, {
      hint: "give it as `trainlock plan` and `trainlock list` show it",
    });
  }
  const models = readModelFolder(layout, folder);
  const fitting = datasetsCalled(layout, dataset).flatMap((spelled) =>
    models.map((model): NamedInput => ({ strategy, dataset: spelled, ...model })),
  );
  const [only, other] = fitting;
  if (only !== undefined && other === undefined) return only;
  throw new UsageError(`--name ${JSON.stringify(name)} fits ${fitting.map(described).join(" and ")}`, {
    hint: "give --strategy, --dataset and --model",
  });
}

/** The declared datasets that are shown so or called so, else what is given. */
function datasetsCalled(layout: Layout, given: string): readonly string[] {
  const shown = (dataset: string) => {
    const any = { strategy: "s", model: "m", ratio: null, auxLoss: null, stage: null, dimensions: {} };
    return layout.displayName({ ...any, dataset }).split("/")[1];
  };
  const known = layout.site.datasets ?? [];
  const exact = known.filter((dataset) => dataset === given);
  if (exact.length > 0) return exact;
  const fitting = known.filter((each) => each.toLowerCase() === given.toLowerCase() || shown(each) === given);
  return fitting.length > 0 ? fitting : [given];
}

type Model = Pick<NamedInput, "model" | "ratio" | "auxLoss" | "dimensions">;

function readModelFolder({ site }: Layout, folder: string): readonly Model[] {
  const dimensions = site.dimensions.map(({ prefix }) => `(?:${literally(prefix)}(.+?))?`).join("");
  const appended = `(?:_ratio(\\d+p\\d\\d))?(?:_aux-(.+?))?${dimensions}$`;
  const read = (model: string): Model[] => {
    const found = new RegExp(`^(${model})${appended}`, "s").exec(folder);
    if (found === null) return [];
    const [, name = "", ratio, auxLoss, ...values] = found;
    const given = site.dimensions.flatMap((dimension, index): [string, string][] => {
      const value = values[index];
      return value === undefined ? [] : [[dimension.name, value]];
    });
    const share = ratio === undefined ? null : Number(ratio.replace("p", "."));
    return [{ model: name, ratio: share, auxLoss: auxLoss ?? null, dimensions: Object.fromEntries(given) }];
  };
  const declared = (site.models ?? []).flatMap((model) => read(literally(model)));
  return declared.length > 0 ? declared : read(".+?");
}

function literally(text: string): string {
  return text.replace(/[^A-Za-z0-9_]/g, "\\$&");
}

function described({ strategy, dataset, model, ratio, auxLoss, dimensions }: NamedInput): string {
  const more = Object.entries({ ratio, "aux-loss": auxLoss, ...dimensions }).filter(([, value]) => value !== null);
  return [strategy, dataset, model, ...more.map(([key, value]) => `${key}=${value}`)].join(" ");
}
