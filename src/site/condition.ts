import type { Configuration } from "../model/configuration.ts";
import type { DimensionValue } from "../model/dimensions.ts";

/** What a template asks of one field: any of these, where `*` in a text stands for anything. */
export interface Condition {
  readonly field: string;
  /** `given` and `none` ask whether an optional field has a value. */
  readonly anyOf: "given" | "none" | readonly DimensionValue[];
}

export function fieldOf(configuration: Configuration, field: string): DimensionValue | null {
  switch (field) {
    case "strategy":
    case "dataset":
    case "model":
    case "ratio":
    case "stage":
      return configuration[field];
    case "aux_loss":
      return configuration.auxLoss;
    default:
      return Object.hasOwn(configuration.dimensions, field) ? (configuration.dimensions[field] ?? null) : null;
  }
}

export function holds(conditions: readonly Condition[], configuration: Configuration): boolean {
  return conditions.every(({ field, anyOf }) => accepts(anyOf, fieldOf(configuration, field)));
}

export function accepts(anyOf: Condition["anyOf"], value: DimensionValue | null): boolean {
  if (anyOf === "given") return value !== null;
  if (anyOf === "none") return value === null;
  return value !== null && anyOf.some((wanted) => globMatches(String(wanted), String(value)));
}

function globMatches(glob: string, text: string): boolean {
  if (!glob.includes("*")) return glob === text;
  return new RegExp(`^${glob.split("*").map(escaped).join(".*")}$`, "s").test(text);
}

export function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** The one value that a condition leaves; undefined when it leaves more. `null` stands for none. */
export function pinned(conditions: readonly Condition[], field: string): DimensionValue | null | undefined {
  const anyOf = conditions.find((condition) => condition.field === field)?.anyOf;
  if (anyOf === undefined || anyOf === "given") return undefined;
  if (anyOf === "none") return null;
  const only = anyOf.length === 1 ? anyOf[0] : undefined;
  return typeof only === "string" && only.includes("*") ? undefined : only;
}

/** Whether no value can satisfy both. False also when that cannot be known. */
export function excludeEachOther(a: Condition["anyOf"], b: Condition["anyOf"]): boolean {
  if (a === "none" || b === "none") return a !== b;
  if (a === "given" || b === "given") return false;
  return a.every((one) => b.every((other) => !globsMeet(String(one), String(other))));
}

function globsMeet(a: string, b: string): boolean {
  if (!a.includes("*")) return globMatches(b, a);
  if (!b.includes("*")) return globMatches(a, b);
  const ends = (glob: string) => [glob.slice(0, glob.indexOf("*")), glob.slice(glob.lastIndexOf("*") + 1)] as const;
  const [startA, endA] = ends(a);
  const [startB, endB] = ends(b);
  return (startA.startsWith(startB) || startB.startsWith(startA)) && (endA.endsWith(endB) || endB.endsWith(endA));
}
