import type { TreeProcess } from "../system/processes/process-tree.ts";
import type { ProcessTree } from "./command-tree.ts";

/** A short command never pays for a look. A launcher starts its workers in its first moments: a look comes after a third of its age. */
const [leastPauseMs, mostPauseMs, shareOfAge] = [15, 1000, 1 / 3];
/**
 * The looks take at most a fiftieth of one processor: reading /proc takes long on a large host. By the time that they compute: on a
 * host that is busy each takes long by the clock, and just there new processes should not be noted late.
 */
const pausePerLook = 50;
/**
 * The longest pause, however much a look costs. The longer it is, the more processes no note has when the wrapper is killed.
 */
const longestPauseMs = 5000;

/** Looks at a command's tree again and again, and hands it on whenever it has changed. Returns how to end this. */
export function watchTree(tree: ProcessTree, onChange: (living: readonly TreeProcess[]) => void): () => void {
  let before = "";
  const startedAt = performance.now();
  let timer: NodeJS.Timeout;
  const look = () => {
    const usedBefore = process.cpuUsage();
    const living = tree.living();
    const now = living
      .map(({ pid, startTimeTicks }) => `${pid} ${startTimeTicks}`)
      .sort()
      .join(",");
    if (now !== before) onChange(living);
    before = now;
    const { user, system } = process.cpuUsage(usedBefore);
    const pauseMs = Math.min(mostPauseMs, Math.max(leastPauseMs, (performance.now() - startedAt) * shareOfAge));
    const restMs = Math.min(longestPauseMs, ((user + system) / 1000) * pausePerLook);
    timer = setTimeout(look, Math.max(pauseMs, restMs));
  };
  timer = setTimeout(look, leastPauseMs);
  return () => clearTimeout(timer);
}
