import type { Progress, Step } from "./progress.ts";

/** A checkpoint of a known kind: iterations or epochs. */
const checkpointName = /^(iter|epoch)_(\d{1,12})\.(?:pth|pt|ckpt)$/;

/** What the name of a checkpoint says; null where it is none of a known kind. */
export function checkpointStep(name: string): Step | null {
  const [, kind, digits] = checkpointName.exec(name) ?? [];
  if (kind === undefined || digits === undefined) return null;
  return { step: Number(digits), of: null, unit: kind === "iter" ? "iterations" : "epochs" };
}

/** The furthest checkpoint among the names of a weights dir; `of` from the names that show the training to be done. */
export function checkpointProgress(names: readonly string[], when: readonly string[]): Progress | null {
  let best: Progress | null = null;
  for (const name of names) {
    const found = checkpointStep(name);
    if (found === null || (best !== null && found.step <= best.step)) continue;
    best = { step: found.step, of: lastStepOf(found.unit, when), source: name, at: null };
  }
  if (best === null || last === null || last.source !== best.source || last.of !== best.of) last = best;
  return best === null ? null : last;
}

/** Most of 100,000 folders are as far as the one before: they share what is said of it. */
let last: Progress | null = null;

/** The last step that the names of a done rule tell; null: they tell none of this unit. */
export function lastStepOf(unit: Step["unit"], when: readonly string[]): number | null {
  const steps = when.flatMap((name) => {
    const last = checkpointStep(name);
    return last?.unit === unit ? [last.step] : [];
  });
  return steps.length === 0 ? null : Math.min(...steps);
}

/** What a file `last_checkpoint` says, as mmengine writes it: the path of the newest checkpoint, alone. */
export function lastCheckpointStep(bytes: Uint8Array): Step | null {
  const [line = ""] = Buffer.from(bytes).toString("utf8").trim().split("\n");
  return checkpointStep(line.slice(line.lastIndexOf("/") + 1));
}
