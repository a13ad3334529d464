import { type Step, stepOf } from "./progress.ts";

/** The folders that Lightning's CSVLogger makes for its runs, by their number. */
export const versionFolder = /^version_(\d{1,9})$/;

/**
 * The newest step of Lightning's `metrics.csv`: its header in the first bytes, its newest lines in the last. Quotes and commas
 * in them belong to metrics of the user; the columns up to `step` have none.
 */
export function metricsStep(start: Uint8Array, end: Uint8Array): Step | null {
  const [header = ""] = lines(start);
  const column = header
    .replace(/^\ufeff/, "")
    .split(",")
    .indexOf("step");
  if (column < 0) return null;
  const width = header.split(",").length;
  for (const line of lines(end).reverse()) {
    const cells = line.split(",");
    if (cells.length !== width || line === header) continue;
    const step = stepOf(cells[column]);
    if (step !== null) return { step, of: null, unit: "iterations" };
  }
  return null;
}

function lines(bytes: Uint8Array): string[] {
  const text = Buffer.from(bytes).toString("utf8");
  // What follows the last line end is half written.
  return text.split(/\r?\n/).slice(0, -1);
}
