import { readProcText } from "../processes/proc-files.ts";

/** One line of `/proc/self/mountinfo`, proc_pid_mountinfo(5). */
export interface MountEntry {
  readonly mountId: number;
  /** `major:minor` in decimal, as st_dev of the files on it. */
  readonly device: string;
  /** Which folder of the file system is mounted: not `/` for a bind mount. */
  readonly root: string;
  readonly mountPoint: string;
  /** Those of the mount, then those of the file system. */
  readonly options: readonly string[];
  readonly fileSystem: string;
  readonly source: string;
}

const cacheMs = 1000;
let cached: { readonly entries: readonly MountEntry[]; readonly readAtMs: number } | undefined;

/** The mounts this process sees, in the order of mounting. Empty when /proc is not there. At most a second old. */
export function mountTable(): readonly MountEntry[] {
  return cached !== undefined && performance.now() - cached.readAtMs < cacheMs ? cached.entries : freshMountTable();
}

/** The same, read now: an automount appears in the table only by being walked into. */
export function freshMountTable(): readonly MountEntry[] {
  const entries = parseMountInfo(readProcText("/proc/self/mountinfo") ?? "");
  cached = { entries, readAtMs: performance.now() };
  return entries;
}

/** Reads the text of a mountinfo file; lines that are none are left out. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const entry = parseLine(line);
    if (entry !== null) entries.push(entry);
  }
  return entries;
}

function parseLine(line: string): MountEntry | null {
  // Any number of optional fields stands before the separator, so the two halves are counted apart.
  const separator = line.indexOf(" - ");
  if (separator < 0) return null;
  const [mountId, , device, root, mountPoint, mountOptions] = line.slice(0, separator).split(" ");
  const [fileSystem, source, superOptions] = line.slice(separator + 3).split(" ");
  if (device === undefined || root === undefined || mountPoint === undefined || !fileSystem) return null;
  return {
    mountId: Number(mountId),
    device,
    root: unescaped(root),
    mountPoint: unescaped(mountPoint),
    // Asked of one mount in a hundred.
    get options() {
      const options = `${mountOptions ?? ""},${superOptions ?? ""}`.split(",").filter((option) => option !== "");
      return [...new Set(options.map(unescaped))];
    },
    fileSystem,
    source: unescaped(source ?? ""),
  };
}

/** Space, tab, newline, backslash and '#' arrive as three octal digits. */
export function unescaped(field: string): string {
  if (!field.includes("\\")) return field;
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/**
 * The mount a path lies on; null when the table knows none. Among the mounts of the path's device (`major:minor`) the one
 * with the longest mount point, the last one of equals, since that covers the others. A device that no mount has (btrfs
 * subvolumes have their own, overlay lends out those of its layers) decides nothing.
 */
export function findMount(table: readonly MountEntry[], path: string, device: string | null): MountEntry | null {
  // An autofs mount is the trap that mounts something else over itself, never where a file lies.
  const above = table.filter((entry) => entry.fileSystem !== "autofs" && contains(entry.mountPoint, path));
  const onDevice = device === null ? [] : above.filter((entry) => entry.device === device);
  let best: MountEntry | null = null;
  for (const entry of onDevice.length > 0 ? onDevice : above) {
    if (best === null || entry.mountPoint.length >= best.mountPoint.length) best = entry;
  }
  return best;
}

/** Whether a path is that folder or below it. Neither has links, `.` or `..`. */
export function contains(folder: string, path: string): boolean {
  return folder === "/" || path === folder || path.startsWith(`${folder}/`);
}

/** `major` and `minor` of a bigint st_dev: gnu_dev_major and gnu_dev_minor of glibc, makedev(3). */
export function deviceNumbers(dev: bigint): { readonly major: number; readonly minor: number } {
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n);
  const minor = (dev & 0xffn) | ((dev >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}

/** A bigint st_dev as mountinfo writes it. */
export function deviceText(dev: bigint): string {
  const { major, minor } = deviceNumbers(dev);
  return `${major}:${minor}`;
}
