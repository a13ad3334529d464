/**
 * Two decimals as Python's `f"{ratio:.2f}"` writes them: correctly rounded from the exact binary value, ties to even.
 * `toFixed` rounds exact ties up (0.125 → 0.13 where Python says 0.12), and the two would lock different files.
 */
function pythonFixed2(ratio: number): string {
  const eighths = ratio * 8;
  if (Number.isInteger(eighths) && eighths % 2 !== 0) {
    const down = Math.floor(ratio * 100);
    return ((down % 2 === 0 ? down : down + 1) / 100).toFixed(2);
  }
  return ratio.toFixed(2);
}

/** `0p50` for 0.5. */
export function ratioText(ratio: number): string {
  return pythonFixed2(ratio).replace(".", "p");
}

/** `s2_` for the number 2, `warmup_` for the text. */
export function stageText(stage: number | string): string {
  return typeof stage === "number" ? `s${stage}_` : `${stage}_`;
}

/** The dataset as the old writers put it into lock names and records. */
export function normalizeDataset(dataset: string): string {
  return dataset.toLowerCase().replaceAll("-", "_");
}
