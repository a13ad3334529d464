/**
 * Beyond it the next number could not be distinguished from the one after it: records are JSON, and its readers count in doubles.
 */
export const largestGeneration = Number.MAX_SAFE_INTEGER - 1;

export function isGeneration(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= largestGeneration;
}
