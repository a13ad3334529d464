import { type BigIntStats, existsSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { folderStats } from "../files/folder-stats.ts";
import { sameFile } from "../files/same-file.ts";
import { listedPids, readProcText } from "./proc-files.ts";

/** A lock that somebody of this host holds on a file that has lost its name. */
export interface RemovedLock {
  /** The name that the file had. */
  readonly path: string;
  readonly pid: number;
}

const deleted = / \(deleted\)$/;

/**
 * Finds the files of a lock dir that were removed while processes of this host hold flock(2) on them, if we may look into
 * these processes. proc_locks(5) shows cheaply whether there can be any, and proc_pid_fd(5) shows which file it was. With
 * `name`, only that file is looked for.
 */
export function removedLocksIn(lockDir: string, name: string | null = null): RemovedLock[] {
  const folder = folderStats(lockDir);
  if (folder === undefined) return [];
  const holders = lockers();
  if (holders.length === 0) return [];
  // Who has taken a lock may have ended, as flock(1) in a script does: then anybody may have the file.
  const pids = holders.every((pid) => pid > 0 && existsSync(`/proc/${pid}`)) ? holders : listedPids();
  const found = new Map<string, number>();
  for (const pid of pids) {
    for (const removed of removedBy(pid, folder)) {
      if ((name === null || removed === name) && !found.has(removed)) found.set(removed, pid);
    }
  }
  return [...found].map(([removed, pid]) => ({ path: join(lockDir, removed), pid }));
}

/**
 * Who has taken the locks that are held, by `/proc/locks`; -1 where it does not say. A waiter's line has `->`. The first read
 * for a while takes 6 ms: it waits until every processor has passed through the kernel.
 */
function lockers(): number[] {
  const lines = (readProcText("/proc/locks") ?? "").split("\n");
  const pids = lines.flatMap((line) => /^\d+: (?:FLOCK|OFDLCK) +\S+ +\S+ +(-?\d+) /.exec(line)?.[1] ?? []);
  return [...new Set(pids.map(Number))];
}

/** By the folder that the file was in, as its holder sees it: in another mount namespace it may have another path. */
function removedBy(pid: number, folder: BigIntStats): string[] {
  const names: string[] = [];
  for (const fd of namesIn(`/proc/${pid}/fd`)) {
    const link = `/proc/${pid}/fd/${fd}`;
    try {
      const target = readlinkSync(link);
      if (!deleted.test(target) || !target.endsWith(".lock (deleted)")) continue;
      const path = target.replace(deleted, "");
      if (!isLocked(pid, fd) || !sameFile(statSync(`/proc/${pid}/root${dirname(path)}`, { bigint: true }), folder))
        continue;
      names.push(basename(path));
    } catch {
      // Closed or ended meanwhile.
    }
  }
  return names;
}

function isLocked(pid: number, fd: string): boolean {
  return /^lock:.*\b(FLOCK|OFDLCK)\b/m.test(readProcText(`/proc/${pid}/fdinfo/${fd}`) ?? "");
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
