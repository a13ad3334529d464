import { KnownTree } from "../system/processes/known-tree.ts";
import type { ProcessIdentity } from "../system/processes/process-tree.ts";
import { readLines } from "../system/processes/read-lines.ts";
import { stopTree } from "../system/processes/stop-tree.ts";

/**
 * What the guard process does: reads from its wrapper what the command's tree is, and ends that tree when the wrapper is gone
 * without a word.
 */
export function guardTree(killAfterMs: number): Promise<void> {
  let noted: readonly ProcessIdentity[] = [];
  let over = false;
  return new Promise((resolve) => {
    readLines(
      process.stdin,
      (line) => {
        if (line === "over") over = true;
        else noted = identitiesIn(line);
      },
      () => resolve(over ? undefined : stopNoted(noted, killAfterMs)),
    );
  });
}

function identitiesIn(line: string): ProcessIdentity[] {
  return (JSON.parse(line) as [number, number][]).map(([pid, startTimeTicks]) => ({ pid, startTimeTicks }));
}

async function stopNoted(noted: readonly ProcessIdentity[], killAfterMs: number): Promise<void> {
  const tree = new KnownTree();
  tree.learn(noted);
  await stopTree(() => tree.living(), killAfterMs);
}
