import { parseJson } from "../model/parse-json.ts";
import { type Step, stepOf } from "./progress.ts";

/** The folders that mmengine makes for its runs, by their start. */
export const runFolder = /^\d{8}_\d{6}$/;

/**
 * The newest step in the end of mmengine's `vis_data/scalars.json`: a JSON object a line, `step` in each. The first line of the
 * end may be cut, the last may be half written: both are skipped. `inEpochs`: the epochs that are complete, where the lines count
 * them, else iterations.
 */
export function scalarsStep(end: Uint8Array, inEpochs: boolean): Step | null {
  const lines = Buffer.from(end).toString("utf8").split("\n").reverse();
  for (const line of lines) {
    const value = parseLine(line);
    if (typeof value !== "object" || value === null) continue;
    const { epoch, iter, step } = value as Record<string, unknown>;
    const epochs = stepOf(epoch);
    // A line of a validation has a step alone, of which nobody says what it counts.
    if (inEpochs && epochs !== null) return { step: Math.max(0, epochs - 1), of: null, unit: "epochs" };
    const iterations = stepOf(iter) === null ? null : (stepOf(step) ?? stepOf(iter));
    if (iterations !== null) return { step: iterations, of: null, unit: "iterations" };
  }
  return null;
}

/** Python writes what is no JSON where a loss has no value. */
function parseLine(line: string): unknown {
  if (!line.startsWith("{")) return null;
  return parseJson(line) ?? parseJson(line.replaceAll(/([:[,]\s*)(?:NaN|-?Infinity)(?=\s*[,}\]])/g, "$1null"));
}
