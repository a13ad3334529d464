import type { Configuration } from "../model/configuration.ts";
import type { DimensionValue } from "../model/dimensions.ts";
import { nameProblem } from "../model/names.ts";
import { holds, pinned } from "./condition.ts";
import { filtered, type Part, renderSegment, segmentPattern, type Template, type Vocabulary } from "./template.ts";

/** The path of a configuration's weights dir, relative to the root. */
export function renderTemplate(template: Template, configuration: Configuration, vocabulary: Vocabulary): string {
  return template.segments.map((segment) => renderSegment(segment, configuration, vocabulary)).join("/");
}

/**
 * The configuration that a folder belongs to; null when the template does not lead there. What filters took away (capitals,
 * hyphens) is told again by the declared datasets, else it stays away; the same folder comes out either way.
 */
export function matchTemplate(template: Template, path: string, vocabulary: Vocabulary): Configuration | null {
  const names = path.split("/");
  if (names.length !== template.segments.length) return null;
  const found = new Map<string, DimensionValue | null>();
  for (const [index, segment] of template.segments.entries()) {
    const match = segmentPattern(segment, vocabulary).exec(names[index] ?? "");
    if (match === null) return null;
    const fields = segment.filter((part) => part.kind === "field");
    for (const [group, part] of fields.entries()) {
      const text = match[group + 1];
      found.set(part.field, text === undefined ? null : valueFrom(part, text, vocabulary));
    }
  }
  const configuration = assembled(template, found, vocabulary);
  if (configuration === null || !holds(template.conditions, configuration)) return null;
  return renderTemplate(template, configuration, vocabulary) === path ? configuration : null;
}

function assembled(
  { conditions }: Template,
  found: ReadonlyMap<string, DimensionValue | null>,
  { dimensions }: Vocabulary,
): Configuration | null {
  const value = (field: string) => found.get(field) ?? pinned(conditions, field) ?? null;
  const [strategy, dataset, model, auxLoss] = ["strategy", "dataset", "model", "aux_loss"].map(value);
  const ratio = value("ratio");
  if (typeof strategy !== "string" || typeof dataset !== "string" || typeof model !== "string") return null;
  if ([strategy, dataset, model].some((name) => nameProblem(name) !== null)) return null;
  if (ratio !== null && (typeof ratio !== "number" || ratio > 1)) return null;
  const given = dimensions.flatMap(({ name }): [string, DimensionValue][] => {
    const own = value(name);
    return own === null ? [] : [[name, own]];
  });
  return {
    strategy,
    dataset,
    model,
    ratio,
    auxLoss: typeof auxLoss === "string" ? auxLoss : null,
    stage: value("stage"),
    dimensions: Object.fromEntries(given),
  };
}

function valueFrom(part: Part & { kind: "field" }, text: string, vocabulary: Vocabulary): DimensionValue {
  const { field, filters } = part;
  if (field === "ratio") return Number(text.replace("p", "."));
  if (field === "stage") {
    const bare = filters.includes("bare") ? text : text.slice(0, -1);
    const number = (filters.includes("bare") ? /^(\d{1,9})$/ : /^s(\d{1,9})$/).exec(bare)?.[1];
    return number === undefined ? bare : Number(number);
  }
  if (field === "dataset") return vocabulary.datasets?.find((known) => filtered(known, filters) === text) ?? text;
  const dimension = vocabulary.dimensions.find(({ name }) => name === field);
  if (dimension === undefined) return text;
  if (dimension.type !== "text") return Number(text.replace("p", "."));
  return dimension.values?.find((known) => filtered(String(known), filters) === text) ?? text;
}
