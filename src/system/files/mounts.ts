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
  const reach = reachOf(place.leadsTo, entry, mounts);
  return { fileSystem, mountPoint, options, mountId, ownToContainer: isOwnToContainer(entry), ...reach };
}

/** What its type says of a mount, unless others reach it in ways of which its type says nothing. */
function reachOf(path: string, entry: MountEntry, mounts: readonly MountEntry[]): MountScope {
  const scope = scopeOf(entry);
  if (scope.shared !== false) return scope;
  if (isExported(path, entry, mounts)) return exportedScope(entry.fileSystem);
  const layer = entry.fileSystem === "overlay" ? sharedLayer(entry, mounts) : null;
  return layer === null ? scope : layeredScope(layer);
}

/** Images that nobody writes, whatever the file system knows of locks. */
const images = new Set(["cramfs", "erofs", "fuse.squashfuse", "fuse.squashfuse_ll", "iso9660", "squashfs", "udf"]);

/**
 * The first layer of an overlay to which other hosts may write; null: none is known here. Those of a container are out of its
 * sight.
 */
function sharedLayer(overlay: MountEntry, mounts: readonly MountEntry[]): MountEntry | null {
  const known = sharedLayers.get(overlay);
  if (known !== undefined) return known;
  const found = findSharedLayer(overlay, mounts);
  sharedLayers.set(overlay, found);
  return found;
}

/** A listing asks the same mount ten thousand times, and a container has dozens of layers. */
const sharedLayers = new WeakMap<MountEntry, MountEntry | null>();

function findSharedLayer(overlay: MountEntry, mounts: readonly MountEntry[]): MountEntry | null {
  for (const option of overlay.options) {
    const [, paths] = /^(?:lowerdir|upperdir|datadir)\+?=(.*)$/.exec(option) ?? [];
    for (const path of paths?.split(":") ?? []) {
      const layer = path.startsWith("/") ? findMount(mounts, path, null) : null;
      if (layer === null || layer.mountId === overlay.mountId || images.has(layer.fileSystem)) continue;
      if (scopeOf(layer).shared !== false) return layer;
    }
  }
  return null;
}

function layeredScope({ fileSystem, mountPoint }: MountEntry): MountScope {
  const why = `this overlay shows files of ${fileSystem} at ${mountPoint}, which other hosts may write, and flock does not see their locks`;
  return { lockScope: "host", shared: true, why };
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
