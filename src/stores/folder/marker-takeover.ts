import { type BigIntStats, lstatSync, renameSync, unlinkSync } from "node:fs";
import type { MarkerFacts } from "../../model/lock-facts.ts";
import { markerPath } from "../../site/layout.ts";
import { ownerOf } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno, systemError } from "../../system/libc/errno.ts";
import { exchangePaths } from "../../system/libc/exchange-files.ts";
import { type Announce, type PlacedMarker, withUnfinishedMarker } from "./marker.ts";

/**
 * Puts our marker over a dead one without the path ever being free. `changed` when it is no longer the marker that was
 * judged; then nothing has changed hands.
 */
export function replaceMarker(
  weightsDir: string,
  dead: MarkerFacts,
  pid: number,
  announce: Announce,
): PlacedMarker | "changed" {
  const path = markerPath(weightsDir);
  return withUnfinishedMarker(path, pid, (unfinished, own) => {
    if (!isMarker(path, dead)) return "changed";
    announce(own.ino);
    const exchanged = exchangePaths(unfinished, path);
    if (exchanged === "exchanged") {
      let taken = false;
      try {
        taken = isMarker(unfinished, dead);
      } finally {
        if (!taken) giveBack(unfinished, path);
      }
      return taken ? "placed" : "changed";
    }
    if (exchanged === "unsupported") {
      if (!isMarker(path, dead)) return "changed";
      renameSync(unfinished, path);
      return "placed";
    }
    if (exchanged.errno === "ENOENT") return "changed";
    throw systemError("replace the marker", path, exchanged.errno);
  });
}

/**
 * Somebody replaced the dead marker between the last look and the exchange: the living one goes back to its place. Where
 * ours is gone from there, its owner has removed what it took for its own: it is done, and nothing is to be given back.
 */
export function giveBack(living: string, path: string): void {
  const again = exchangePaths(living, path);
  if (again !== "exchanged" && (again === "unsupported" || again.errno !== "ENOENT")) renameSync(living, path);
}

/** Removes a marker that was judged, if it still is the one. */
export function removeMarker(weightsDir: string, judged: MarkerFacts): "removed" | "changed" {
  const path = markerPath(weightsDir);
  if (!isMarker(path, judged)) return "changed";
  try {
    unlinkSync(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "changed";
    throw asSystemError("remove", path, error, `${ownerOf(path)}; ${ownerOf(weightsDir)}`);
  }
  return "removed";
}

export function isMarker(path: string, judged: MarkerFacts): boolean {
  const there: BigIntStats | undefined = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return (
    there !== undefined &&
    there.ino === judged.inode &&
    there.dev === judged.device &&
    there.mtimeNs === judged.modifiedNs
  );
}
