import type { TreeProcess } from "../system/processes/process-tree.ts";
import type { ProcessTree } from "./command-tree.ts";

/** A short command never pays for a look. A launcher starts its workers in its first moments: a look comes after a third of its age. */
const [leastPauseMs, mostPauseMs, shareOfAge] = [15, 1000, 1 / 3];
/** The looks take at most a fiftieth of one processor: reading /proc takes long on a large host. */
const pausePerLook = 50;

/** Looks at a command's tree again and again, and hands it on whenever it has changed. Returns how to end this. */
export function watchTree(tree: ProcessTree, onChange: (living: readonly TreeProcess[]) => void): () => void {
  let before = "";
  const startedAt = performance.now();
  let timer: NodeJS.Timeout;
  const look = () => {
    const beganAt = performance.now();
    const living = tree.living();
    const now = living
      .map(({ pid, startTimeTicks }) => `${pid} ${startTimeTicks}`)
      .sort()
      .join(",");
    if (now !== before) onChange(living);
    before = now;
    const endedAt = performance.now();
    const pauseMs = Math.min(mostPauseMs, Math.max(leastPauseMs, (endedAt - startedAt) * shareOfAge));
    timer = setTimeout(look, Math.max(pauseMs, (endedAt - beganAt) * pausePerLook));
  };
  timer = setTimeout(look, leastPauseMs);
  return () => clearTimeout(timer);
}
