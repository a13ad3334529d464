import { type Configuration, fieldOptions } from "../model/configuration.ts";
import { type DimensionValue, parseDimensionValue } from "../model/dimensions.ts";
import { UsageError } from "../model/errors.ts";
import { nearest } from "../model/nearest.ts";
import { fieldOf } from "../site/condition.ts";
import type { Layout } from "../site/layout.ts";
import { configurationFor } from "../site/open-site.ts";
import { fixedFields } from "../site/template.ts";

/** A field's value as a configuration has it; null: the row has none. */
export type FieldValue = DimensionValue | null;

const requiredFields = ["strategy", "dataset", "model"];
/** Also as Python and YAML write it: `None`, `NULL`. */
const absent = new Set(["", "none", "null", "~"]);
/** A range of more values is a slip of the keyboard. */
const longestRange = 100_000;

/** Whether a text stands for no value: `none`, null, an empty cell. */
export function isAbsent(text: string): boolean {
  return absent.has(text.trim().toLowerCase());
}

/** `did you mean model?`, or all names where none is near. */
export function nearestHint(given: string, words: readonly string[]): string {
  const near = nearest(given, words);
  if (near !== null) return `did you mean ${near}?`;
  const shown = words.slice(0, 12).join(", ");
  return words.length > 12 ? `one of ${shown}, …` : `one of ${shown}`;
}

/** Reads the fields of a site's configurations. Keeps what it has read: grids repeat few texts many times. */
export class FieldReader {
  /** In the order of their names. */
  readonly names: readonly string[];
  readonly layout: Layout;
  readonly #read = new Map<string, Map<string, FieldValue>>();

  constructor(layout: Layout) {
    this.layout = layout;
    this.names = [...fixedFields, ...layout.site.dimensions.map(({ name }) => name)];
  }

  /**
   * The single texts that a value of a grid stands for: itself, or each number of a range `1..3` where the field is a whole
   * number. Throws a UsageError without a place for a range that goes backwards or is too long.
   */
  expandRange(field: string, text: string): readonly string[] {
    const [, from, to] = /^\s*([-+]?\d[\d.]*?)\.\.([-+]?\d[\d.]*)\s*$/.exec(text) ?? [];
    if (from === undefined || to === undefined || !this.isNumber(field)) return [text];
    if (![from, to].every((end) => /^(?:0|[1-9]\d{0,14})$/.test(end)))
      throw new UsageError(`the range ${text} is not of plain whole numbers`, {
        hint: "such as 1..3; give others as a list",
      });
    const first = Number(from);
    const count = Number(to) - first + 1;
    if (count < 1) throw new UsageError(`the range ${text} goes backwards`, { hint: `write ${to}..${from}` });
    if (count > longestRange)
      throw new UsageError(`the range ${text} has ${count} values`, { hint: "is that a mistake?" });
    return Array.from({ length: count }, (_, index) => String(first + index));
  }

  /** Whether a value may have a fraction. */
  isFraction(field: string): boolean {
    return (
      field === "ratio" || this.layout.site.dimensions.some(({ name, type }) => name === field && type === "number")
    );
  }

  /** Whether its values are numbers, or mostly. */
  isNumber(field: string): boolean {
    return field === "stage" || this.layout.site.dimensions.some(({ name, type }) => name === field && type !== "text");
  }

  /**
   * The value that a text has in a field, null for none. Texts stay as they are written, a ratio and numbers of the site are
   * numbers. Throws a UsageError that names field and text.
   */
  parse(field: string, text: string): FieldValue {
    const known = this.#read.get(field) ?? new Map<string, FieldValue>();
    if (known.size === 0) this.#read.set(field, known);
    const before = known.get(text);
    if (before !== undefined) return before;
    const value = isAbsent(text) ? null : this.#parsePresent(field, text);
    known.set(text, value);
    return value;
  }

  #parsePresent(field: string, text: string): FieldValue {
    const { layout } = this;
    const dimension = layout.site.dimensions.find(({ name }) => name === field);
    if (dimension !== undefined) return parseDimensionValue(dimension, text, field);
    // Read in the company of names that are right: the message is about this one.
    const { strategies, datasets, models } = layout.site;
    const company = { strategy: strategies?.[0] ?? "s", dataset: datasets?.[0] ?? "d", model: models?.[0] ?? "m" };
    const input = { ...company, [field === "aux_loss" ? "auxLoss" : field]: text };
    const withoutDimensions = { ...layout, site: { ...layout.site, dimensions: [] } };
    return fieldOf(configurationFor(withoutDimensions, input), field);
  }

  /** A configuration of values that `parse` returned. Throws a UsageError that names a field without a value. */
  compose(values: ReadonlyMap<string, FieldValue>): Configuration {
    const textOf = (field: string): string => {
      const value = values.get(field) ?? null;
      if (value !== null) return String(value);
      throw new UsageError(`${field} is missing`, { hint: `each row needs ${requiredFields.join(", ")}` });
    };
    const ratio = values.get("ratio") ?? null;
    const auxLoss = values.get("aux_loss") ?? null;
    return {
      strategy: textOf("strategy"),
      dataset: textOf("dataset"),
      model: textOf("model"),
      ratio: ratio === null ? null : Number(ratio),
      auxLoss: auxLoss === null ? null : String(auxLoss),
      stage: values.get("stage") ?? null,
      dimensions: this.#dimensionsOf(values),
    };
  }

  #dimensionsOf(values: ReadonlyMap<string, FieldValue>): Configuration["dimensions"] {
    const present: [string, DimensionValue][] = [];
    for (const { name, optional } of this.layout.site.dimensions) {
      const value = values.get(name) ?? null;
      if (value !== null) present.push([name, value]);
      else if (!optional) {
        throw new UsageError(`${name} is missing`, { hint: `this site tells configurations apart by ${name}` });
      }
    }
    return present.length === 0 ? noDimensions : Object.fromEntries(present);
  }
}

const noDimensions: Configuration["dimensions"] = {};

/**
 * The error with place and field in front, each once: of a file `grid.yaml:4: ratio: "50" is not …`, of the command line
 * `--ratio "50" is not …`.
 */
export function atField(place: string, field: string, error: unknown): unknown {
  if (!(error instanceof UsageError)) return error;
  const { message, hint } = error;
  const flag = fieldOptions[field] ?? `--set ${field}`;
  const isOption = place === flag;
  const rest = unnamed(unnamed(message, flag), field);
  const shown = isOption ? hint : hint?.replaceAll(`${flag} `, "").replaceAll(`${flag}=`, "");
  const inFile = `${place}: ${field}${rest === message || rest.startsWith('"') ? ":" : ""} ${rest}`;
  const said = !isOption ? inFile : message.startsWith(flag) ? message : `${flag}: ${rest}`;
  return new UsageError(said, { code: "ERR_GRID", ...(shown === undefined ? {} : { hint: shown }) });
}

/** The message without what it is about, where it begins with that. */
function unnamed(message: string, name: string): string {
  const begin = [`${name}: `, `${name} `].find((text) => message.startsWith(text));
  return begin === undefined ? message : unnamed(message.slice(begin.length), name);
}

/** The error with the place in front: `grid.yaml:3: seed: the range 3..1 goes backwards`. */
export function atPlace(place: string, error: unknown): unknown {
  if (!(error instanceof UsageError)) return error;
  return new UsageError(`${place}: ${error.message}`, {
    code: "ERR_GRID",
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
