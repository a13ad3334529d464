import type { Configuration } from "../model/configuration.ts";
import { fieldOf } from "../site/condition.ts";
import { fixedFields } from "../site/template.ts";
import { type FieldValue, isAbsent } from "./fields.ts";

/** A block of a grid file: the product of these lists. */
type Lists = ReadonlyMap<string, readonly FieldValue[]>;

/**
 * The grid in YAML that has exactly these configurations, in as few blocks as this rule finds: values of a field whose
 * remaining values are the same share a block. `dimensions`: the site's, by name.
 */
export function gridTextOf(configurations: readonly Configuration[], dimensions: readonly string[]): string {
  const fields = [...fixedFields, ...dimensions].filter(
    (field) => requiredFields.includes(field) || configurations.some((c) => fieldOf(c, field) !== null),
  );
  const rows = configurations.map((configuration) => fields.map((field) => fieldOf(configuration, field)));
  return blocksOf(fields, rows).map(blockText).join("");
}

/** Whether a grid can have it: `none` and the like are no values there, whatever a folder is called. */
export function canBeWritten(configuration: Configuration, dimensions: readonly string[]): boolean {
  const values = [...fixedFields, ...dimensions].map((field) => fieldOf(configuration, field));
  return !values.some((value) => typeof value === "string" && isAbsent(value));
}

const requiredFields: readonly string[] = ["strategy", "dataset", "model"];

type Values = readonly FieldValue[];

/** Splits by the first field: values with equal rests go together, and each rest is split in the same way. */
function blocksOf(fields: readonly string[], rows: readonly Values[]): Lists[] {
  const [field, ...others] = fields;
  if (field === undefined) return [new Map()];
  const restsByValue = new Map<FieldValue, Values[]>();
  for (const [value = null, ...rest] of rows) {
    const rests = restsByValue.get(value);
    if (rests === undefined) restsByValue.set(value, [rest]);
    else rests.push(rest);
  }
  const valuesByRests = new Map<string, { values: FieldValue[]; rests: readonly Values[] }>();
  for (const [value, rests] of restsByValue) {
    const key = JSON.stringify(rests.map((rest) => JSON.stringify(rest)).sort());
    const same = valuesByRests.get(key);
    if (same === undefined) valuesByRests.set(key, { values: [value], rests });
    else same.values.push(value);
  }
  return [...valuesByRests.values()].flatMap(({ values, rests }) =>
    blocksOf(others, rests).map((block) => new Map([[field, values], ...block])),
  );
}

function blockText(block: Lists): string {
  const lines = [...block]
    .filter(([, values]) => !(values.length === 1 && values[0] === null))
    .map(
      ([field, values]) =>
        `${field}: ${values.length === 1 ? valueText(values[0]) : `[${values.map(valueText).join(", ")}]`}`,
    );
  return `- ${lines.join("\n  ")}\n`;
}

/** A text that YAML would read as something else is quoted. */
function valueText(value: FieldValue | undefined): string {
  if (value === null || value === undefined) return "none";
  if (typeof value === "number") return String(value);
  const plain = /^[A-Za-z][A-Za-z0-9_.+-]*$/.test(value) && !/^(true|false|yes|no|on|off|null|none)$/i.test(value);
  return plain ? value : JSON.stringify(value);
}
