import { linkSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { inodeNumber } from "../../model/inode.ts";
import type { MarkerFacts } from "../../model/lock-facts.ts";
import { markerName, markerPath } from "../../site/layout.ts";
import { ownerOf } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno, systemError } from "../../system/libc/errno.ts";
import { exchangePaths } from "../../system/libc/exchange-files.ts";
import { type Announce, type PlacedMarker, placeMarkerAt } from "./marker.ts";
import { giveBack, isMarker } from "./marker-takeover.ts";
import { readMarker, readMarkerAt } from "./read-marker.ts";
import { discard, unfinishedPath } from "./temporary-file.ts";

const suffix = ".next";
/** Successors that died in their turn. More of them is no crash, but something that goes on making them. */
const mostSuccessors = 50;

/** The right to change one dead marker, which one process at a time has. */
export interface Succession {
  /** The dead marker, and every successor of it that died before it was done: one of them stands in the marker's place. */
  readonly dead: readonly MarkerFacts[];
  readonly heir: PlacedMarker;
}

/**
 * Becomes the one that may change a dead marker where no kernel lock says to all hosts who that is. The right is a marker like any other,
 * under a name that only this dead one has, so that it is placed once; and that of a successor who died has a successor under
 * its own name. `judge` returns what speaks against taking over from a marker, null where it is dead. `changed`: another has
 * done it meanwhile.
 */
export async function succeed<T>(
  weightsDir: string,
  dead: MarkerFacts,
  pid: number,
  announce: Announce,
  judge: (successor: MarkerFacts) => Promise<T | null>,
): Promise<Succession | "changed" | { readonly objection: T }> {
  const chain = [dead];
  for (let last = dead; chain.length < mostSuccessors; chain.push(last)) {
    const path = nameOfNext(weightsDir, last);
    const heir = placeMarkerAt(path, pid, announce);
    if (heir !== "occupied") return { dead: chain, heir };
    const next = readMarkerAt(path);
    // An exchange leaves the dead marker itself in the place of its successor.
    if (next === null || chain.some((earlier) => isSame(earlier, next))) return "changed";
    const objection = await judge(next);
    if (objection !== null) return { objection };
    last = next;
  }
  throw systemError("take over the marker", markerPath(weightsDir), "ELOOP");
}

/**
 * Puts the heir in the place of the dead marker by one exchange, and looks what came out: what was not judged goes back.
 * Where files cannot be exchanged `mayRename` decides: by a rename after one more look, or `unable`, and nothing is taken over.
 */
export function putHeirInPlace(
  weightsDir: string,
  { dead, heir }: Succession,
  mayRename: boolean,
): PlacedMarker | "changed" | "unable" {
  const path = markerPath(weightsDir);
  const there = dead.find((marker) => isMarker(path, marker));
  if (there === undefined) return "changed";
  const exchanged = exchangePaths(heir.path, path);
  if (exchanged === "unsupported") {
    if (!mayRename) return "unable";
    if (!isMarker(path, there)) return "changed";
    renameSync(heir.path, path);
    return heir.knownAs(path);
  }
  if (exchanged !== "exchanged") {
    if (exchanged.errno === "ENOENT") return "changed";
    throw systemError("replace the marker", path, exchanged.errno);
  }
  let taken = false;
  try {
    taken = isMarker(heir.path, there);
  } finally {
    if (!taken) giveBack(heir.path, path);
  }
  if (!taken) return "changed";
  discard(heir.path);
  return heir.knownAs(path);
}

/** Takes the dead marker away by a rename, and looks what was moved: what was not judged goes back, unless its place is taken. */
export function moveAway(weightsDir: string, { dead }: Succession): "removed" | "changed" {
  const path = markerPath(weightsDir);
  const there = dead.find((marker) => isMarker(path, marker));
  if (there === undefined) return "changed";
  const away = unfinishedPath(weightsDir);
  try {
    renameSync(path, away);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "changed";
    throw asSystemError("remove", path, error, `${ownerOf(path)}; ${ownerOf(weightsDir)}`);
  }
  if (!isMarker(away, there)) {
    putBack(away, path);
    return "changed";
  }
  discard(away);
  for (const marker of dead) discard(nameOfNext(weightsDir, marker));
  return "removed";
}

/** Whoever has got the place meanwhile has swept the file, too. */
function putBack(away: string, path: string): void {
  try {
    linkSync(away, path);
  } catch (error) {
    if (isErrno(error, "EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK")) renameSync(away, path);
    else if (!isErrno(error, "EEXIST", "ENOENT")) throw asSystemError("put back", path, error);
  }
  discard(away);
}

/** For whoever has just got the marker: no marker that is not in place has an heir any more, whatever inode number it had. */
export function sweepSuccessions(weightsDir: string, own: PlacedMarker): void {
  const marker = readMarker(weightsDir);
  if (marker === null || inodeNumber(marker.inode) !== inodeNumber(own.inode)) return;
  const mine = nameOfNext(weightsDir, marker);
  for (const name of readdirSync(weightsDir)) {
    const path = join(weightsDir, name);
    if (name.startsWith(`${markerName}.`) && name.endsWith(suffix) && path !== mine) discard(path);
  }
}

function nameOfNext(weightsDir: string, { inode, modifiedNs }: MarkerFacts): string {
  return join(weightsDir, `${markerName}.${inodeNumber(inode)}.${modifiedNs}${suffix}`);
}

function isSame(one: MarkerFacts, other: MarkerFacts): boolean {
  return one.inode === other.inode && one.device === other.device && one.modifiedNs === other.modifiedNs;
}
