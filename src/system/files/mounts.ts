import { statSync } from "node:fs";
import { dirname } from "node:path";
import { thisHost } from "../processes/this-host.ts";
import { isExported } from "./exports.ts";
import { deviceText, findMount, freshMountTable, type MountEntry, mountTable } from "./mount-table.ts";
import { nearestExisting } from "./nearest-existing.ts";

/** How far a lock taken with flock(2) reaches. `none`: the file system refuses it. */
export type LockScope = "host" | "cluster" | "unknown" | "none";

export interface MountScope {
  readonly lockScope: LockScope;
  /** False: this host's own disk or memory. True: network. Null: cannot tell. */
  readonly shared: boolean | null;
  /** One line in plain words. */
  readonly why: string;
}

export interface MountFacts extends MountScope {
  readonly fileSystem: string;
  readonly mountPoint: string;
  readonly options: readonly string[];
  readonly mountId: number;
  /** The root of a container that has PIDs of its own: nobody outside writes there. */
  readonly ownToContainer: boolean;
}

const local = new Set(
  "bcachefs btrfs devtmpfs exfat ext2 ext3 ext4 f2fs jfs overlay ramfs reiserfs tmpfs vfat xfs zfs".split(" "),
);
const clusterWide = new Map([
  ["ceph", "CephFS"],
  ["fuse.ceph", "CephFS"],
  ["fuse.ceph-fuse", "CephFS"],
  ["fuse.glusterfs", "GlusterFS"],
]);
const untested = new Map([
  ["gpfs", "GPFS has been seen to keep flock to one node"],
  ["beegfs", "BeeGFS keeps flock to one node unless its clients are configured otherwise"],
  ["cifs", "CIFS makes flock mandatory, and servers differ"],
  ["smb3", "CIFS makes flock mandatory, and servers differ"],
]);

/** What the type and options of a mount say about flock: nfs(5), mount.lustre(8), mount(8). Never asks the file system. */
export function scopeOf(entry: Pick<MountEntry, "fileSystem" | "options">): MountScope {
  const { fileSystem, options } = entry;
  if (local.has(fileSystem))
    return { lockScope: "host", shared: false, why: `${fileSystem} belongs to this host alone` };
  if (fileSystem === "nfs" || fileSystem === "nfs4") return nfsScope(options);
  if (fileSystem === "lustre") return lustreScope(options);
  const cluster = clusterWide.get(fileSystem);
  if (cluster !== undefined) {
    return { lockScope: "cluster", shared: true, why: `${cluster} keeps flock for every host that mounts it` };
  }
  const doubt = untested.get(fileSystem);
  if (doubt !== undefined) return { lockScope: "unknown", shared: true, why: `${doubt}: test it from two hosts` };
  return {
    lockScope: "unknown",
    shared: null,
    why: `nothing is known about flock on ${fileSystem}: test it from two hosts`,
  };
}

const ownerless = new Set("cifs exfat fuse.sshfs fuseblk hfs hfsplus msdos ntfs ntfs3 smb3 vboxsf vfat".split(" "));

/** Whether the owners that a mount shows are of its own making: its files may be of any user. */
export function mapsOwners({ fileSystem, options }: Pick<MountEntry, "fileSystem" | "options">): boolean {
  return ownerless.has(fileSystem) || options.includes("idmapped");
}

function nfsScope(options: readonly string[]): MountScope {
  const keptLocal = ["nolock", "local_lock=flock", "local_lock=all"].find((option) => options.includes(option));
  return keptLocal === undefined
    ? { lockScope: "cluster", shared: true, why: "NFS asks the server for flock, which holds for every host" }
    : { lockScope: "host", shared: true, why: `NFS mounted with ${keptLocal} keeps flock to this host` };
}

function lustreScope(options: readonly string[]): MountScope {
  if (options.includes("localflock")) {
    return { lockScope: "host", shared: true, why: "Lustre mounted with localflock keeps flock to this host" };
  }
  return options.includes("flock")
    ? { lockScope: "cluster", shared: true, why: "Lustre mounted with flock keeps it for every host" }
    : { lockScope: "none", shared: true, why: "Lustre mounted without the option flock refuses it" };
}

/**
 * The mount an absolute path lies on, or would lie on once created. Never throws: what cannot be found out is `unknown`.
 * A table may be given to save reading it for each of many paths.
 */
export function mountOf(path: string, table?: readonly MountEntry[]): MountFacts {
  const place = nearestExisting(path);
  const device = deviceOf(place.real);
  // Walked first, read after: walking mounts what autofs has pending.
  let mounts = table ?? mountTable();
  let entry = findMount(mounts, place.leadsTo, device);
  if (table === undefined && device !== null && entry?.device !== device) {
    mounts = freshMountTable();
    entry = findMount(mounts, place.leadsTo, device);
  }
  if (entry === null) {
    const why = "the table of mounts does not say what this path lies on";
    const nothing = { fileSystem: "unknown", mountPoint: "/", options: [], mountId: -1, ownToContainer: false };
    return { ...nothing, lockScope: "unknown", shared: null, why };
  }
  const { fileSystem, mountPoint, options, mountId } = entry;
  const scope = scopeOf(entry);
  const reach = scope.shared === false && isExported(place.leadsTo, entry, mounts) ? exportedScope(fileSystem) : scope;
  return { fileSystem, mountPoint, options, mountId, ownToContainer: isOwnToContainer(entry), ...reach };
}

/** The server takes the locks of NFS clients by byte range, nfs(5): they and flock of its own processes do not see each other. */
function exportedScope(fileSystem: string): MountScope {
  const why = `this ${fileSystem} is exported by NFS: other hosts write there, and flock does not see their locks`;
  return { lockScope: "host", shared: true, why };
}

/** As which file servers show owners that they squash or cannot name: exports(5), nfsidmap(8). */
const nobodies: ReadonlySet<number> = new Set([65_534, 4_294_967_294]);

/**
 * Whether a file there may be of another user than its owner as shown. Most hosts have no such mount, and then no path is looked
 * at.
 */
export function mayHideOwner(path: string, uid: number): boolean {
  if (nobodies.has(uid) && mountOf(path).shared !== false) return true;
  return mountTable().some(mapsOwners) && mapsOwners(mountOf(path));
}

/** A volume handed into the container may be an overlay too, that of whoever handed it in: only the whole root counts. */
function isOwnToContainer(entry: MountEntry): boolean {
  if (entry.fileSystem !== "overlay" || entry.mountPoint !== "/" || entry.root !== "/") return false;
  const { pidNamespace, inInitialPidNamespace } = thisHost();
  return pidNamespace !== null && !inInitialPidNamespace;
}

/** A file on overlay may show the device of a layer below, its folder never does: the folder is asked. */
function deviceOf(real: string): string | null {
  try {
    const stats = statSync(real, { bigint: true });
    return deviceText(stats.isDirectory() ? stats.dev : statSync(dirname(real), { bigint: true }).dev);
  } catch {
    return null;
  }
}
