import { UsageError } from "./errors.ts";
import { requireName } from "./names.ts";
import { nearest } from "./nearest.ts";

export type DimensionValue = string | number;
export type DimensionValues = Readonly<Record<string, DimensionValue>>;

/** What a site tells configurations apart by, beyond the fixed fields: a seed, a fold. */
export interface Dimension {
  readonly name: string;
  readonly type: "integer" | "number" | "text";
  readonly optional: boolean;
  /** What stands before the value in names: `_seed` makes `_seed3`. */
  readonly prefix: string;
  /** Null: any value of the type. */
  readonly values: readonly DimensionValue[] | null;
}

/** A value as names have it: the point of a number is a `p`, as in ratios. */
export function dimensionText(value: DimensionValue): string {
  return typeof value === "number" ? String(value).replace(".", "p") : value;
}

/** The part of a name that all dimensions make, in the order of their declaration; undeclared ones last, by name. */
export function dimensionSuffix(declared: readonly Dimension[], values: DimensionValues): string {
  const names = Object.keys(values);
  if (names.length === 0) return "";
  const known = declared.flatMap(({ name, prefix }) => {
    const value = ownValue(values, name);
    return value === undefined ? [] : [prefix + dimensionText(value)];
  });
  const unknown = names
    .filter((name) => !declared.some((dimension) => dimension.name === name))
    .sort()
    .map((name) => `_${name}${dimensionText(values[name] ?? "")}`);
  return [...known, ...unknown].join("");
}

/** A dimension may be called as what every object has: `constructor`. */
function ownValue(values: DimensionValues, name: string): DimensionValue | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}

/** Reads one value. `given` is how the caller wrote it, for the message. Throws {@link UsageError}. */
export function parseDimensionValue(dimension: Dimension, raw: DimensionValue, given: string): DimensionValue {
  const value = typedValue(dimension, String(raw), given);
  if (dimension.values === null || dimension.values.includes(value)) return value;
  throw new UsageError(`${given}: ${JSON.stringify(raw)} is not among the values of ${dimension.name}`, {
    hint: `one of ${dimension.values.join(", ")}`,
  });
}

function typedValue({ name, type }: Dimension, text: string, given: string): DimensionValue {
  if (type === "text") return requireName(given, text);
  const shape = type === "integer" ? /^\d{1,15}$/ : /^\d{1,15}(\.\d{1,15})?(e-?\d{1,3})?$/i;
  if (shape.test(text) && Number.isFinite(Number(text))) return Number(text);
  throw new UsageError(
    `${given}: ${name} ${JSON.stringify(text)} is not ${type === "integer" ? "an integer" : "a number"} of 0 or more`,
    {
      hint: `for example --set ${name}=3`,
    },
  );
}

/** Checks given values against what the site declares. Throws {@link UsageError} that names the dimension. */
export function parseDimensions(
  declared: readonly Dimension[],
  given: Readonly<Record<string, DimensionValue>>,
): DimensionValues {
  const names = declared.map(({ name }) => name);
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const near = nearest(name, names);
    throw new UsageError(`--set ${name}: the site declares no dimension ${JSON.stringify(name)}`, {
      hint:
        names.length === 0
          ? "declare it under `dimensions` in trainlock.yaml"
          : near === null
            ? `it declares ${names.join(", ")}`
            : `did you mean ${near}?`,
    });
  }
  const values: Record<string, DimensionValue> = {};
  for (const dimension of declared) {
    const raw = ownValue(given, dimension.name);
    if (raw !== undefined) values[dimension.name] = parseDimensionValue(dimension, raw, `--set ${dimension.name}`);
    else if (!dimension.optional) {
      throw new UsageError(`--set ${dimension.name} is missing`, {
        hint: `this site tells configurations apart by ${dimension.name}: give --set ${dimension.name}=VALUE`,
      });
    }
  }
  return values;
}
