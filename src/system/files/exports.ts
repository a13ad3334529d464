import { readProcText } from "../processes/proc-files.ts";
import { contains, findMount, type MountEntry, unescaped } from "./mount-table.ts";

/** What nfsd exports now, written by exportfs(8). It is empty where nothing is exported. */
const exportTable = "/var/lib/nfs/etab";

interface NfsExport {
  readonly path: string;
  /** File systems that are mounted below it are exported with it, exports(5). */
  readonly crossesMounts: boolean;
}

const cacheMs = 1000;
let cached: { readonly exports: readonly NfsExport[]; readonly readAtMs: number } | undefined;

/** At most a second old, as the table of mounts. */
function nfsExports(): readonly NfsExport[] {
  if (cached === undefined || performance.now() - cached.readAtMs >= cacheMs)
    cached = { exports: parseExports(readProcText(exportTable) ?? ""), readAtMs: performance.now() };
  return cached.exports;
}

/**
 * Pure: the folders of an etab file that clients may write to. A line is `PATH<tab>CLIENT(OPTION,…)`, the path escaped as in
 * mountinfo.
 */
export function parseExports(text: string): NfsExport[] {
  return text.split("\n").flatMap((line) => {
    const [, path, list] = /^(\S+)\s+\S+?\(([^)]*)\)/.exec(line) ?? [];
    const options = (list ?? "").split(",");
    if (path === undefined || !options.includes("rw")) return [];
    return [{ path: unescaped(path), crossesMounts: options.includes("crossmnt") }];
  });
}

/**
 * Whether clients of this host's NFS server may write to a path, which lies on `entry`: by that path, or by another to the same
 * file system, as bind mounts give it. Other servers (Samba, sftp) do not say what they serve.
 */
export function isExported(
  path: string,
  entry: MountEntry,
  table: readonly MountEntry[],
  exports: readonly NfsExport[] = nfsExports(),
): boolean {
  return exports.some((exported) => {
    if (exported.crossesMounts && contains(exported.path, path)) return true;
    const mount = findMount(table, exported.path, null);
    if (mount === null || mount.device !== entry.device) return false;
    return contains(withinFileSystem(exported.path, mount), withinFileSystem(path, entry));
  });
}

/** A path as its file system has it, without the mounts on the way. */
function withinFileSystem(path: string, { mountPoint, root }: MountEntry): string {
  const rest = mountPoint === "/" ? path : path.slice(mountPoint.length);
  const whole = `${root === "/" ? "" : root}${rest === "/" ? "" : rest}`;
  return whole === "" ? "/" : whole;
}
