import { accessSync, constants, lstatSync, statSync } from "node:fs";
import { dirname } from "node:path";
import type { Configuration } from "../../model/configuration.ts";
import { type Layout, markerPath, markerRecordPath } from "../../site/layout.ts";
import { inTheWayOf } from "../../system/files/nearest-existing.ts";
import { canWriteIn, ownerOf } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno, systemError } from "../../system/libc/errno.ts";
import { requireNextGeneration } from "./generation.ts";

export const repairHint = "once nothing trains it: trainlock clear CONFIGURATION --repair --no-dry-run moves it aside";
const stickyBit = 0o1000;

/** The folder of a configuration's files that this user cannot write, or make; null: it can. */
export function unwritableFolder(layout: Layout, configuration: Configuration): string | null {
  return [layout.lockDir, layout.weightsDir(configuration)].find((folder) => !canWriteIn(folder)) ?? null;
}

/**
 * Throws where a claim of this configuration would, whoever has it: for lack of permission, for what stands where a file belongs,
 * for a generation that cannot grow. Changes nothing on disk.
 */
export function requireClaimable(layout: Layout, configuration: Configuration): void {
  const { store } = layout;
  if (store?.alsoMarker === false) return;
  for (const folder of [layout.lockDir, layout.weightsDir(configuration)]) requireWay(folder);
  const unwritable = unwritableFolder(layout, configuration);
  // Under a key of a store, files that cannot be locked are only looked at.
  if (unwritable !== null && store !== null && store.alsoMarker === null) return;
  const lockPath = layout.kernelLockPath(configuration);
  const weightsDir = layout.weightsDir(configuration);
  requirePlainLockFile(lockPath);
  const refused = unwritable === null ? null : whyUnwritable(unwritable);
  if (refused !== null) throw refused;
  requireRecordPlace(weightsDir);
  for (const path of [markerPath(weightsDir), markerRecordPath(weightsDir)]) requireReplaceable(path);
  requireNextGeneration({ lockPath, weightsDir });
}

/**
 * Nothing but folders may stand on the way to one that is to be made. A link that leads nowhere here may lead to a holder
 * elsewhere.
 */
function requireWay(folder: string): void {
  const found = inTheWayOf(folder);
  if (found === null) return;
  if (!found.isLink) throw systemError("make the folder", folder, "ENOTDIR", undefined, `${found.path} is a file`);
  const what = `${found.path} is a link that leads nowhere on this host`;
  throw systemError("make the folder", folder, "ENOENT", undefined, what, "mount what it leads to, or remove the link");
}

/** Anybody who can write the folder can plant a link to somebody's file under our name, and we would write into it. */
function requirePlainLockFile(path: string): void {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return;
    const what = stats.isFile()
      ? stats.nlink > 1
        ? `it has ${stats.nlink} hard links`
        : null
      : "it is not a regular file";
    if (what !== null) throw systemError("use the lock file", path, "EINVAL", undefined, what, repairHint);
    accessSync(path, constants.R_OK | constants.W_OK);
  } catch (error) {
    throw asSystemError("open the lock file", path, error, ownerOf(path) ?? ownerOf(dirname(path)));
  }
}

/** A rename puts the record there, in place of anything but a folder. */
export function requireRecordPlace(weightsDir: string): void {
  const path = markerRecordPath(weightsDir);
  try {
    if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  } catch (error) {
    throw asSystemError("write the owner record", path, error);
  }
  throw systemError("write the owner record", path, "EISDIR", undefined, "a folder stands there", repairHint);
}

/** Null: it can be written, and the error of before has passed. */
function whyUnwritable(folder: string): unknown {
  let there = folder;
  for (;;) {
    try {
      accessSync(there, constants.W_OK | constants.X_OK);
      return null;
    } catch (error) {
      if (!isErrno(error, "ENOENT") || dirname(there) === there)
        return asSystemError("write in", folder, error, ownerOf(there));
      there = dirname(there);
    }
  }
}

/** In a sticky folder, only the owner of a file, or of the folder, may replace the file. */
function requireReplaceable(path: string): void {
  const me = process.geteuid?.() ?? 0;
  try {
    const file = lstatSync(path, { throwIfNoEntry: false });
    if (file === undefined || me === 0 || file.uid === me) return;
    const folder = statSync(dirname(path));
    if ((folder.mode & stickyBit) !== 0 && folder.uid !== me)
      throw systemError("replace", path, "EPERM", undefined, ownerOf(path));
  } catch (error) {
    throw asSystemError("look at", path, error, ownerOf(dirname(path)));
  }
}
