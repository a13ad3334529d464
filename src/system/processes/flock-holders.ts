import { readdirSync, readlinkSync, statSync } from "node:fs";
import { basename } from "node:path";
import { inodeNumber } from "../../model/inode.ts";
import { deviceNumbers } from "../files/mount-table.ts";
import { listedPids, readProcText, readStatLine } from "./proc-files.ts";

export interface FileIdentity {
  readonly dev: bigint;
  readonly ino: bigint;
}

export interface IdentifiedFile extends FileIdentity {
  readonly path: string;
}

/** The processes that hold flock(2) on one file, oldest first. See {@link flockHoldersOf}. */
export function flockHolderPids(path: string, identity: FileIdentity): number[] {
  return flockHoldersOf([{ path, dev: identity.dev, ino: identity.ino }]).get(path) ?? [];
}

/** Whether one process, of any that may be looked at, has this file open with flock(2) on it. */
export function holdsFlock(pid: number, file: IdentifiedFile): boolean {
  return lockedBy(pid, new Map([[basename(file.path), [file]]])).has(file.path);
}

/**
 * The processes that hold flock(2) on each file, by path, oldest first: those with an open descriptor whose
 * proc_pid_fdinfo(5) shows the lock. More than one when a descriptor was inherited. Files without a visible holder are left
 * out; other users' processes show their descriptors to root only, so absence proves nothing. One pass over /proc.
 */
export function flockHoldersOf(files: readonly IdentifiedFile[]): Map<string, number[]> {
  const holders = new Map<string, number[]>();
  if (files.length === 0) return holders;
  const byName = new Map<string, IdentifiedFile[]>();
  for (const file of files) {
    const name = basename(file.path);
    byName.set(name, [...(byName.get(name) ?? []), file]);
  }
  for (const pid of listedPids()) {
    for (const path of lockedBy(pid, byName)) holders.set(path, [...(holders.get(path) ?? []), pid]);
  }
  for (const pids of holders.values()) sortOldestFirst(pids);
  return holders;
}

function lockedBy(pid: number, byName: ReadonlyMap<string, readonly IdentifiedFile[]>): ReadonlySet<string> {
  const found = new Set<string>();
  for (const fd of descriptorsOf(pid)) {
    const link = `/proc/${pid}/fd/${fd}`;
    try {
      // By name only, the inode decides: in another mount namespace the same file has another path.
      const candidates = byName.get(basename(readlinkSync(link).replace(/ \(deleted\)$/, "")));
      if (
        candidates === undefined ||
        !/^lock:.*\b(FLOCK|OFDLCK)\b/m.test(readProcText(`/proc/${pid}/fdinfo/${fd}`) ?? "")
      )
        continue;
      // Not the numbers that fdinfo prints: on btrfs and overlay those are of another device than stat(2) tells.
      const open = statSync(link, { bigint: true });
      for (const { path, dev, ino } of candidates) if (open.dev === dev && open.ino === ino) found.add(path);
    } catch {
      // Closed or ended meanwhile.
    }
  }
  return found;
}

function descriptorsOf(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`);
  } catch {
    return [];
  }
}

function sortOldestFirst(pids: number[]): void {
  if (pids.length < 2) return;
  const started = new Map(pids.map((pid) => [pid, readStatLine(pid)?.startTimeTicks ?? Number.POSITIVE_INFINITY]));
  const startOf = (pid: number) => started.get(pid) ?? Number.POSITIVE_INFINITY;
  pids.sort((a, b) => (startOf(a) === startOf(b) ? a - b : startOf(a) - startOf(b)));
}

/**
 * The files that `/proc/locks` (proc_locks(5)) shows as locked with flock(2), as {@link kernelTableKey} names them. Locks taken
 * in other PID namespaces and on other hosts are not in it, and on btrfs and overlay its devices differ from those of
 * stat(2): presence proves a holder, absence proves nothing.
 * Costs some 10 ms now and then: the kernel stops all lock traffic to print it.
 */
export function heldInKernelTable(): ReadonlySet<string> {
  const keys = new Set<string>();
  // A waiter's line has `->` where the holder's has the kind of lock.
  for (const line of (readProcText("/proc/locks") ?? "").split("\n")) {
    const key = /^\d+: (?:FLOCK|OFDLCK) +\S+ +\S+ +-?\d+ (\S+) /.exec(line)?.[1];
    if (key !== undefined) keys.add(key);
  }
  return keys;
}

/** `major:minor:inode` as `/proc/locks` prints it: the device in hex of at least two digits, the inode in decimal. */
export function kernelTableKey(dev: bigint, ino: bigint): string {
  const { major, minor } = deviceNumbers(dev);
  const hex = (value: number) => value.toString(16).padStart(2, "0");
  return `${hex(major)}:${hex(minor)}:${inodeNumber(ino)}`;
}
