import { readlinkSync } from "node:fs";
import { rootVariables } from "../../site/root.ts";
import { listedPids, readProcText } from "../../system/processes/proc-files.ts";
import { readTreeProcess } from "../../system/processes/process-tree.ts";
import type { Launch } from "./launch.ts";

/** A wrapper of this host whose variables are those of a rank of a launch like ours. */
interface RankBeside {
  readonly pid: number;
  readonly parent: number;
  readonly rank: number;
}

/**
 * Whether ranks of one launch have different parents on this host (a split). Then nothing tells them from the ranks of another
 * launch with the same variables. A parent with a rank 0 of its own is another launch. A parent without one, while our launch is
 * not complete, has the rest of our launch. After one look, it may also be a launch that has not started its rank 0 yet.
 */
export function isSplit(launch: Launch): boolean {
  const parents = new Map<number, RankBeside[]>();
  for (const found of ranksBeside(launch)) parents.set(found.parent, [...(parents.get(found.parent) ?? []), found]);
  const own = new Set((parents.get(process.ppid) ?? []).map(({ rank }) => rank));
  const isComplete = launch.size !== null && own.size >= launch.size;
  if (isComplete || (launch.rank > 0 && own.has(0))) return false;
  for (const [parent, ranks] of parents) {
    if (parent === process.ppid) continue;
    const hasLeader = ranks.some(({ rank }) => rank === 0);
    const hasOurs = ranks.some(({ rank }) => rank === launch.rank);
    if (launch.rank === 0 ? !hasLeader : hasLeader && !hasOurs) return true;
  }
  return false;
}

function ranksBeside(launch: Launch): RankBeside[] {
  const found = listedPids().flatMap((pid) => rankOf(pid, launch) ?? []);
  const pids = new Set(found.map(({ pid }) => pid));
  // Processes that a wrapper starts (a keeper, a command that calls `held`) have its variables, too.
  return found.filter(({ parent }) => !pids.has(parent));
}

function rankOf(pid: number, { variables, rankVariable }: Launch): RankBeside | null {
  if (!runsThisProgram(pid) || optionsOf(pid) !== optionsOf(process.pid)) return null;
  const theirs = new Map(
    (readProcText(`/proc/${pid}/environ`) ?? "").split("\0").map((pair) => {
      const at = pair.indexOf("=");
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
  const rank = theirs.get(rankVariable);
  // These, with the arguments, decide which lock a wrapper asks for.
  const own = { ...variables, ...Object.fromEntries(rootVariables.map((name) => [name, process.env[name]])) };
  const isAlike = Object.entries(own).every(([name, value]) => theirs.get(name) === value);
  const found = isAlike && rank !== undefined && /^\d{1,9}$/.test(rank) ? readTreeProcess(pid) : null;
  return found?.runs === true ? { pid, parent: found.parent, rank: Number(rank) } : null;
}

/** The arguments before the command. They are equal for all ranks of a launch. */
function optionsOf(pid: number): string {
  const args = (readProcText(`/proc/${pid}/cmdline`) ?? "").split("\0").slice(1);
  return JSON.stringify(args.slice(0, args.indexOf("--")));
}

function runsThisProgram(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === readlinkSync("/proc/self/exe");
  } catch {
    // It belongs to another user, or has ended.
    return false;
  }
}

/** A split is certain once it was seen for this long: ranks of one launch start within moments of each other. */
const splitForMs = 1500;
/** If a part vanishes after this long, it was refused because of the split. */
const splitAtLeastMs = 1000;

/** Looks for a split again and again. Returns a function that says whether it has become certain. */
export function watchSplit(launch: Launch): () => boolean {
  let since: number | null = null;
  return () => {
    const now = performance.now();
    if (isSplit(launch)) {
      since ??= now;
      return now - since >= splitForMs;
    }
    if (since !== null && now - since >= splitAtLeastMs) return true;
    since = null;
    return false;
  };
}
