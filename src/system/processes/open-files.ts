import { readdirSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { listedPids, readProcText } from "./proc-files.ts";
import { readTreeProcess } from "./process-tree.ts";

/** A file that a process has open. */
export interface OpenFile {
  readonly pid: number;
  readonly path: string;
  readonly writes: boolean;
  /** Of the process that asks, one that this descends from, or one that descends from such: a job script's `tee`, say. */
  readonly isOurs: boolean;
}

interface Descriptor {
  readonly pid: number;
  readonly fd: string;
  readonly path: string;
}

/** What the processes of this host have open, as far as that is ours to see; read once for all that ask in one turn. */
interface Descriptors {
  readonly byFolder: ReadonlyMap<string, readonly Descriptor[]>;
  /** In other mount namespaces the same file has another path: by its last name. */
  readonly elsewhere: ReadonlyMap<string, readonly Descriptor[]>;
}

let known: Descriptors | undefined;

/**
 * Who has a file in this folder or below it open, of whatever container; `name` narrows that to one file. Other users' processes
 * show their files to root only. What the asking process or its ancestors have open is left out: a job's log is no sign of life.
 */
export function openFilesIn(folder: string, name: string | null = null): OpenFile[] {
  const found = descriptorsIn(folder);
  if (found.length === 0) return [];
  const ours = ourChain();
  const own = new Set(found.filter(({ pid }) => ours.has(pid)).map(({ path }) => path));
  return found
    .filter(({ path }) => !own.has(path) && (name === null || basename(path) === name))
    .map(({ pid, fd, path }) => ({ pid, path, writes: isForWriting(pid, fd), isOurs: descendsFrom(pid, ours) }));
}

/** The files in a folder that the asking process or one of its ancestors has open, by path. */
export function filesOpenByUs(folder: string): ReadonlySet<string> {
  const ours = ourChain();
  return new Set(descriptorsIn(folder).flatMap(({ pid, path }) => (ours.has(pid) ? [path] : [])));
}

function descriptorsIn(folder: string): Descriptor[] {
  if (known === undefined) {
    known = readDescriptors();
    setImmediate(() => {
      known = undefined;
    });
  }
  const top = realPath(folder);
  const here = known.byFolder.get(top) ?? [];
  return [...here, ...(known.elsewhere.size === 0 ? [] : foundElsewhere(top, known.elsewhere))];
}

function readDescriptors(): Descriptors {
  const byFolder = new Map<string, Descriptor[]>();
  const elsewhere = new Map<string, Descriptor[]>();
  const add = (to: Map<string, Descriptor[]>, key: string, found: Descriptor) => {
    const before = to.get(key);
    if (before === undefined) to.set(key, [found]);
    else before.push(found);
  };
  const ourMounts = linkOf("/proc/self/ns/mnt");
  for (const pid of listedPids()) {
    const isElsewhere = linkOf(`/proc/${pid}/ns/mnt`) !== ourMounts;
    for (const fd of namesIn(`/proc/${pid}/fd`)) {
      const target = linkOf(`/proc/${pid}/fd/${fd}`);
      if (target === null || !target.startsWith("/") || target.startsWith("/dev/")) continue;
      const found = { pid, fd, path: target.replace(/ \(deleted\)$/, "") };
      if (isElsewhere) add(elsewhere, basename(found.path), found);
      for (let at = dirname(found.path); at !== "/"; at = dirname(at)) add(byFolder, at, found);
    }
  }
  return { byFolder, elsewhere };
}

/** A folder with more files than this is not gone through for containers' sake. */
const mostNames = 2000;

/** By name first, then by inode: a file on a server that hangs must not be asked for without need. */
function foundElsewhere(top: string, elsewhere: Descriptors["elsewhere"]): Descriptor[] {
  const names = namesIn(top).slice(0, mostNames);
  return names.flatMap((name) => {
    const candidates = elsewhere.get(name) ?? [];
    if (candidates.length === 0) return [];
    const path = join(top, name);
    return candidates.flatMap(({ pid, fd, path: theirs }) =>
      theirs !== path && isSameFile(path, `/proc/${pid}/fd/${fd}`) ? [{ pid, fd, path }] : [],
    );
  });
}

function isSameFile(a: string, b: string): boolean {
  try {
    const [one, other] = [statSync(a, { bigint: true }), statSync(b, { bigint: true })];
    return one.dev === other.dev && one.ino === other.ino;
  } catch {
    return false;
  }
}

/** `flags` of proc_pid_fdinfo(5), in octal: the last two bits are the access mode of open(2). */
function isForWriting(pid: number, fd: string): boolean {
  const flags = /^flags:\s*(\d+)/m.exec(readProcText(`/proc/${pid}/fdinfo/${fd}`) ?? "")?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & 3) !== 0;
}

/** The asking process and its ancestors, the first process aside, from which all descend. */
function ourChain(): ReadonlySet<number> {
  const chain = new Set<number>();
  for (let at = process.pid; at > 1 && !chain.has(at); at = readTreeProcess(at)?.parent ?? 0) chain.add(at);
  return chain;
}

function descendsFrom(pid: number, chain: ReadonlySet<number>): boolean {
  const seen = new Set<number>();
  for (let at = pid; at > 1 && !seen.has(at); at = readTreeProcess(at)?.parent ?? 0) {
    if (chain.has(at)) return true;
    seen.add(at);
  }
  return false;
}

function realPath(folder: string): string {
  try {
    return realpathSync(folder);
  } catch {
    return folder;
  }
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
