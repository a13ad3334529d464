import { type BigIntStats, linkSync, lstatSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";
import { inodeNumber } from "../../model/inode.ts";
import type { MarkerFacts } from "../../model/lock-facts.ts";
import { markerName, markerPath } from "../../site/layout.ts";
import { ownerOf } from "../../system/files/shared-permissions.ts";
import { asSystemError, isErrno, systemError } from "../../system/libc/errno.ts";
import { exchangePaths } from "../../system/libc/exchange-files.ts";
import { type Announce, type PlacedMarker, placeMarkerAt, withTemporaryMarker } from "./marker.ts";
import { readMarker, readMarkerAt } from "./read-marker.ts";
import { discard, temporaryPath } from "./temporary-file.ts";

const successorSuffix = ".next";
/** At most so many successors that died, too. More are no crashes: something goes on making them. */
const mostSuccessors = 50;

/** Takes over a stale marker: ours replaces it, and its path is never free. `changed`: it is not the marker that was judged. */
export function replaceUnderKernelLock(
  weightsDir: string,
  dead: MarkerFacts,
  pid: number,
  announce: Announce,
): PlacedMarker | "changed" {
  const path = markerPath(weightsDir);
  const placed = exchangeMarker(weightsDir, dead, pid, announce);
  if (placed !== "unable") return placed;
  return withTemporaryMarker(path, pid, (temporary, own) => {
    announce(own);
    if (!isMarker(path, dead)) return "changed";
    renameSync(temporary, path);
    return "placed";
  });
}

/**
 * Exchanges a marker of ours with a dead one, and checks what came out: a marker that was not judged is returned. `unable`
 * where files cannot be exchanged.
 */
function exchangeMarker(
  weightsDir: string,
  dead: MarkerFacts,
  pid: number,
  announce: Announce,
): PlacedMarker | "changed" | "unable" {
  const path = markerPath(weightsDir);
  return withTemporaryMarker<"changed" | "unable">(path, pid, (temporary, own) => {
    if (!isMarker(path, dead)) return "changed";
    announce(own);
    const exchanged = exchangeFor(temporary, dead, weightsDir);
    return exchanged === "exchanged" ? "placed" : exchanged;
  });
}

/** Exchanges a file with the marker, and returns what came out if it is not the dead one. */
function exchangeFor(ours: string, dead: MarkerFacts, weightsDir: string): "exchanged" | "changed" | "unable" {
  const path = markerPath(weightsDir);
  const exchanged = exchangePaths(ours, path);
  if (exchanged === "unsupported") return "unable";
  if (exchanged !== "exchanged") {
    if (exchanged.errno === "ENOENT") return "changed";
    const owners = `${ownerOf(path)}; ${ownerOf(weightsDir)}`;
    throw systemError("replace the marker", path, exchanged.errno, undefined, owners);
  }
  let taken = false;
  try {
    taken = isMarker(ours, dead);
  } finally {
    if (!taken) returnMarker(ours, path);
  }
  return taken ? "exchanged" : "changed";
}

/**
 * Undoes an exchange: another process replaced the dead marker after the last look, and its living one belongs in that place.
 * If ours is gone from there, that process has removed it as its own. Then there is nothing to return.
 */
export function returnMarker(living: string, path: string): void {
  const again = exchangePaths(living, path);
  if (again !== "exchanged" && (again === "unsupported" || again.errno !== "ENOENT")) renameSync(living, path);
}

/**
 * Removes a dead marker under the kernel lock of its configuration. First a marker of ours takes its place, by one exchange.
 * So the marker that is removed in the end is ours, and a job that placed its marker meanwhile gets it back. If files cannot
 * be exchanged, the marker is renamed and checked. If it is another's, a link returns it.
 */
export function removeUnderKernelLock(
  weightsDir: string,
  judged: MarkerFacts,
  pid: number,
  announce: Announce,
): "removed" | "changed" {
  const placed = exchangeMarker(weightsDir, judged, pid, announce);
  if (placed === "changed") return "changed";
  if (placed === "unable") return removeByRename(weightsDir, { dead: [judged] });
  return placed.remove() ? "removed" : "changed";
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

/** The right to change one dead marker. One process at a time has it. */
export interface Takeover {
  /** The dead marker, and every successor of it that died before it was done: one of them stands in the marker's place. */
  readonly dead: readonly MarkerFacts[];
  readonly successor: PlacedMarker;
}

/**
 * Elects the one process that may change a dead marker, where no kernel lock excludes all hosts. The right to change it is a
 * marker, too. Its name is derived from the dead one, so only one process can place it. If that process has died as well, its
 * marker gets a successor in the same way. `judge` returns what speaks against taking over a marker, and null if its owner is
 * dead. `changed`: another has taken over meanwhile.
 */
export async function electSuccessor<T>(
  weightsDir: string,
  dead: MarkerFacts,
  pid: number,
  announce: Announce,
  judge: (successor: MarkerFacts) => Promise<T | null>,
): Promise<Takeover | "changed" | { readonly objection: T }> {
  const chain = [dead];
  for (let last = dead; chain.length < mostSuccessors; chain.push(last)) {
    const path = successorPath(weightsDir, last);
    const successor = placeMarkerAt(path, pid, announce);
    if (successor !== "occupied") return { dead: chain, successor };
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
 * Exchanges the successor's marker with the dead one, and checks what came out: a marker that was not judged is returned to
 * its place. Where files cannot be exchanged `mayRename` decides: by a rename after one more look, or `unable`, and nothing is
 * taken over.
 */
export function replaceAsSuccessor(
  weightsDir: string,
  { dead, successor }: Takeover,
  mayRename: boolean,
): PlacedMarker | "changed" | "unable" {
  const path = markerPath(weightsDir);
  const there = dead.find((marker) => isMarker(path, marker));
  if (there === undefined) return "changed";
  const exchanged = exchangeFor(successor.path, there, weightsDir);
  if (exchanged === "changed" || (exchanged === "unable" && !mayRename)) return exchanged;
  if (exchanged === "exchanged") discard(successor.path);
  else {
    if (!isMarker(path, there)) return "changed";
    renameSync(successor.path, path);
  }
  return successor.knownAs(path);
}

/**
 * Removes the dead marker by a rename, and checks what was moved: a marker that was not judged is returned if its place is free.
 */
export function removeByRename(weightsDir: string, { dead }: Pick<Takeover, "dead">): "removed" | "changed" {
  const path = markerPath(weightsDir);
  const there = dead.find((marker) => isMarker(path, marker));
  if (there === undefined) return "changed";
  const away = temporaryPath(weightsDir);
  try {
    renameSync(path, away);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return "changed";
    throw asSystemError("remove", path, error, `${ownerOf(path)}; ${ownerOf(weightsDir)}`);
  }
  if (!isMarker(away, there)) {
    returnIfFree(away, path);
    return "changed";
  }
  discard(away);
  for (const marker of dead) discard(successorPath(weightsDir, marker));
  return "removed";
}

/** ENOENT: a process that got the place meanwhile has swept the file. */
function returnIfFree(away: string, path: string): void {
  try {
    linkSync(away, path);
  } catch (error) {
    if (isErrno(error, "EPERM", "EOPNOTSUPP", "ENOSYS", "EMLINK")) renameSync(away, path);
    else if (!isErrno(error, "EEXIST", "ENOENT")) throw asSystemError("put back", path, error);
  }
  discard(away);
}

/** Called by the process that has just got the marker: all successors but its own are of markers that are gone. */
export function sweepSuccessors(weightsDir: string, own: PlacedMarker): void {
  const marker = readMarker(weightsDir);
  if (marker === null || inodeNumber(marker.inode) !== inodeNumber(own.inode)) return;
  const mine = successorPath(weightsDir, marker);
  for (const name of readdirSync(weightsDir)) {
    const path = join(weightsDir, name);
    if (name.startsWith(`${markerName}.`) && name.endsWith(successorSuffix) && path !== mine) discard(path);
  }
}

function successorPath(weightsDir: string, { inode, modifiedNs }: MarkerFacts): string {
  return join(weightsDir, `${markerName}.${inodeNumber(inode)}.${modifiedNs}${successorSuffix}`);
}

function isSame(one: MarkerFacts, other: MarkerFacts): boolean {
  return one.inode === other.inode && one.device === other.device && one.modifiedNs === other.modifiedNs;
}
