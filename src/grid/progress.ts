/** How far a run has come, as far as its folder tells. */
export interface Progress {
  readonly step: number;
  /** The last step; null: not known. */
  readonly of: number | null;
  /** The file that says so, within the weights dir. */
  readonly source: string;
  /** When it was written, local ISO time. */
  readonly at: string | null;
}

/** A checkpoint of a known kind: iterations or epochs. */
const checkpointName = /^(iter|epoch)_(\d{1,12})\.(?:pth|pt|ckpt)$/;

/** The furthest checkpoint among the names of a weights dir; `of` from the names that show the training to be done. */
export function checkpointProgress(names: readonly string[], when: readonly string[]): Progress | null {
  let best: Progress | null = null;
  for (const name of names) {
    const [, kind, digits] = checkpointName.exec(name) ?? [];
    if (kind === undefined || digits === undefined) continue;
    const step = Number(digits);
    if (best === null || step > best.step) best = { step, of: lastStepOf(kind, when), source: name, at: null };
  }
  return best;
}

function lastStepOf(kind: string, when: readonly string[]): number | null {
  const steps = when.flatMap((name) => {
    const [, sameKind, digits] = checkpointName.exec(name) ?? [];
    return sameKind === kind ? [Number(digits)] : [];
  });
  return steps.length === 0 ? null : Math.min(...steps);
}
