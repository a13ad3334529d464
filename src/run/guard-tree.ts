import { sleep } from "../system/clock/sleep.ts";
import { KnownTree } from "../system/processes/known-tree.ts";
import { startedBy } from "../system/processes/process-table.ts";
import { type ProcessIdentity, readTreeProcess } from "../system/processes/process-tree.ts";
import { readLines } from "../system/processes/read-lines.ts";
import { stopTree } from "../system/processes/stop-tree.ts";
import type { GuardedClaim } from "./guard-process.ts";

const [lookEveryMs, mostLooks] = [5, 200];

/**
 * What the guard process does: reads from its wrapper what the command's tree is, and ends that tree when the wrapper is gone
 * without a word.
 */
export function guardTree(killAfterMs: number): Promise<void> {
  let claim: GuardedClaim | null = null;
  let noted: readonly ProcessIdentity[] = [];
  let over = false;
  return new Promise((resolve) => {
    readLines(
      process.stdin,
      (line) => {
        if (line === "over") over = true;
        else if (claim === null) claim = JSON.parse(line) as GuardedClaim;
        else noted = identitiesIn(line);
      },
      () => resolve(over || claim === null ? undefined : stopLeft(claim, noted, killAfterMs)),
    );
  });
}

function identitiesIn(line: string): ProcessIdentity[] {
  return (JSON.parse(line) as [number, number][]).map(([pid, startTimeTicks]) => ({ pid, startTimeTicks }));
}

async function stopLeft(claim: GuardedClaim, noted: readonly ProcessIdentity[], killAfterMs: number): Promise<void> {
  const tree = new KnownTree();
  tree.learn(noted);
  tree.learn(await orphansOf(claim));
  await stopTree(() => tree.living(), killAfterMs);
}

/**
 * What has become an orphan since the wrapper told of its tree. It has the claim's variables, and the parent that this process
 * has now: whoever was above the wrapper. A job that the command has submitted inherits the variables, too, and has another.
 */
async function orphansOf({ wrapper, token }: GuardedClaim): Promise<ProcessIdentity[]> {
  const parentOf = (pid: number) => readTreeProcess(pid)?.parent;
  // A process that ends closes its files before it leaves its children to another.
  for (let looks = 0; parentOf(process.pid) === wrapper && looks < mostLooks; looks += 1) await sleep(lookEveryMs);
  const parent = parentOf(process.pid);
  return startedBy(wrapper, token).flatMap((pid) => {
    const found = readTreeProcess(pid);
    return found !== null && found.parent === parent ? [found] : [];
  });
}
