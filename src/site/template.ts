import type { Configuration } from "../model/configuration.ts";
import { type Dimension, type DimensionValue, dimensionText } from "../model/dimensions.ts";
import { ratioText, stageText } from "../model/name-parts.ts";
import { type Condition, escaped, fieldOf } from "./condition.ts";
import type { DoneDeclaration } from "./done-declaration.ts";

/** What may follow a field in a template, as in `{dataset|lower}`. */
export const filterNames = ["lower", "no_hyphens", "underscores", "bare"] as const;
export type Filter = (typeof filterNames)[number];

export type Part =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "field"; readonly field: string; readonly filters: readonly Filter[] };

/** One folder of a path. */
export type Segment = readonly Part[];

/** A pattern for weights dirs, relative to the root, with the configurations it is for. */
export interface Template {
  readonly text: string;
  readonly segments: readonly Segment[];
  readonly conditions: readonly Condition[];
  /** Goes before what the site declares, key by key; null: nothing said. */
  readonly done: DoneDeclaration | null;
  /** Patterns of what its trainings can resume from; null: nothing said. */
  readonly checkpoint: readonly string[] | null;
}

/** What the fields of a template can be, beyond the fixed ones. */
export interface Vocabulary {
  readonly dimensions: readonly Dimension[];
  /** All datasets of the site as they are spelled; null: any. They make lossy filters reversible. */
  readonly datasets: readonly string[] | null;
}

/** The fields that a template may contain, besides the site's dimensions. `template-faults.ts` says what is refused. */
/** Those of the fixed fields that a configuration may leave out. */
export const optionalFields: readonly string[] = ["ratio", "aux_loss", "stage"];
export const fixedFields = ["strategy", "dataset", "model", "ratio", "aux_loss", "stage"] as const;

export function filtered(text: string, filters: readonly Filter[]): string {
  let result = text;
  for (const filter of filters) {
    if (filter === "lower") result = result.toLowerCase();
    if (filter === "no_hyphens") result = result.replaceAll("-", "");
    if (filter === "underscores") result = result.replaceAll("-", "_");
  }
  return result;
}

/** What stands around a field's value in names, where there is one: `_ratio0p50`, `s2_`, `_seed3`. */
export function affixes(part: Part & { kind: "field" }, dimensions: readonly Dimension[]): [string, string] {
  if (part.filters.includes("bare")) return ["", ""];
  if (part.field === "ratio") return ["_ratio", ""];
  if (part.field === "aux_loss") return ["_aux-", ""];
  return [dimensions.find(({ name }) => name === part.field)?.prefix ?? "", ""];
}

function valueText(field: string, value: DimensionValue, bare: boolean): string {
  if (field === "ratio" && typeof value === "number") return ratioText(value);
  if (field === "stage") return bare ? String(value) : stageText(value);
  return dimensionText(value);
}

/** The folder name of a configuration. */
export function renderSegment(segment: Segment, configuration: Configuration, { dimensions }: Vocabulary): string {
  const texts = segment.map((part) => {
    if (part.kind === "literal") return part.text;
    const value = fieldOf(configuration, part.field);
    if (value === null) return "";
    const [before, after] = affixes(part, dimensions);
    return before + filtered(valueText(part.field, value, part.filters.includes("bare")), part.filters) + after;
  });
  return texts.join("");
}

/** A pattern with one group a field, in the order of the segment. */
export function segmentPattern(segment: Segment, vocabulary: Vocabulary): RegExp {
  const pieces = segment.map((part) => (part.kind === "literal" ? escaped(part.text) : fieldPattern(part, vocabulary)));
  return new RegExp(`^${pieces.join("")}$`, "s");
}

function fieldPattern(part: Part & { kind: "field" }, { dimensions, datasets }: Vocabulary): string {
  const free = part.filters.some((name) => name === "no_hyphens" || name === "underscores") ? "([^/-]+?)" : "([^/]+?)";
  const dimension = dimensions.find(({ name }) => name === part.field);
  const values = part.field === "dataset" ? datasets : (dimension?.values ?? null);
  const [before, after] = affixes(part, dimensions).map(escaped);
  const value =
    values !== null
      ? `(${closedTexts(values, part.filters).map(escaped).join("|")})`
      : part.field === "ratio"
        ? "(\\d+p\\d\\d)"
        : dimension?.type === "integer"
          ? "(\\d+)"
          : dimension?.type === "number"
            ? "(\\d+(?:p\\d+)?(?:e-?\\d+)?)"
            : part.field === "stage" && !part.filters.includes("bare")
              ? "([^/]+?_)"
              : free;
  const optional = optionalFields.includes(part.field) || dimension?.optional;
  return `(?:${before}${value}${after})${optional ? "?" : ""}`;
}

/** The longest first: an alternative must not shadow one that it begins. */
export function closedTexts(values: readonly DimensionValue[], filters: readonly Filter[]): string[] {
  const texts = values.map((value) => filtered(dimensionText(value), filters));
  return [...new Set(texts)].sort((a, b) => b.length - a.length);
}
