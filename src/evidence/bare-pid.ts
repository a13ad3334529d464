import { basename, dirname } from "node:path";
import type { Evidence } from "../model/evidence.ts";
import type { MarkerFacts } from "../model/lock-facts.ts";
import { whyOthersWriteIn } from "../site/other-hosts.ts";
import { clockMovedSinceBootSeconds } from "../system/clock/boot-clock.ts";
import { type MountFacts, mayHideOwner, mountOf } from "../system/files/mounts.ts";
import { openFilesIn } from "../system/processes/open-files.ts";
import {
  mayHaveProcesses,
  type ProcessFacts,
  pidsInsideContainers,
  readProcess,
  seesAllProcesses,
} from "../system/processes/process-table.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { isExecutable } from "../system/processes/this-program.ts";
import { openFilesEvidence, worksIn } from "./open-files.ts";
import { clockMarginSeconds } from "./record-time.ts";

/** A shell creates its marker and writes the PID a moment later; one that is still empty after this long never will. */
const creationSeconds = 60;
/** File times and process start times come from two clocks that tick 10 ms apart at best. */
const clockSlackSeconds = 2;

type Doubt = Extract<Evidence, { says: "unknown" }>["because"];

const unknown = (because: Doubt, detail: string) => ({ source: "marker", says: "unknown", because, detail }) as const;
/** A process has that number here, and nobody can tell whose marker it is: other hosts' words about themselves change nothing. */
const maybeFound = (because: Doubt, detail: string) => ({ ...unknown(because, detail), maybeFound: true }) as const;
const dead = (detail: string): Evidence => ({ source: "process", says: "dead", because: "PID not running", detail });

/** What a marker without a record proves. It has a PID at best, and no host. */
export function markerEvidence(path: string, marker: MarkerFacts): Evidence[] {
  const found = writtenEvidence(path, marker);
  if (found.some(({ says }) => says === "alive")) return found;
  return [...found, ...openFilesEvidence(dirname(path), (uid) => mayBeOf(path, marker, uid))];
}

/** Whether a marker may be that user's: by its owner, where the file system shows real ones. */
function mayBeOf(path: string, marker: MarkerFacts, uid: number): boolean {
  return marker.uid === uid || mayHideOwner(path, marker.uid);
}

function writtenEvidence(path: string, marker: MarkerFacts): Evidence[] {
  if (marker.pid !== null) return bareProcessEvidence(path, marker, marker.pid);
  if (marker.content === "foreign") return [unknown("remote process", `no marker that can be read: ${marker.why}`)];
  // Somebody has set a time to come: its last change, which nobody can set, tells how long it has been so.
  const sinceWrite = ageSeconds(marker.modifiedNs);
  const age = sinceWrite < 0 ? ageSeconds(marker.changedNs) : sinceWrite;
  if (age <= creationSeconds)
    return [unknown("being created", `${marker.why} since ${Math.max(0, Math.floor(age))} s`)];
  return [emptyEvidence(path, marker, `${marker.why} since ${Math.floor(age)} s`)];
}

/** A writer that stands between creating the file and writing its PID has it open, however long that takes. */
function emptyEvidence(path: string, marker: MarkerFacts, what: string): Evidence {
  const opener = openFilesIn(dirname(path), basename(path)).find(({ writes }) => writes);
  if (opener !== undefined) return unknown("being created", `${what}, and process ${opener.pid} has it open`);
  const hidden = outOfSight(path, marker);
  if (hidden !== null) return unknown(hidden.because, `${what}; ${hidden.why}`);
  const doubt = doubtOfWriter(path, marker);
  if (doubt !== null) return unknown("being created", `${what}, and ${doubt}`);
  const { uid } = thisHost();
  const proof = uid === 0 || isOurs(path, marker) ? "nobody here has it open" : "its owner has no process on this host";
  return { source: "marker", says: "dead", because: "no PID", detail: `${what}, and ${proof}` };
}

/**
 * Why a process of this host may be about to write an empty marker; null: none is. What another user's processes have open, only
 * root and that user see. Everybody sees that the user has none.
 */
function doubtOfWriter(path: string, marker: MarkerFacts): string | null {
  if (thisHost().uid === 0 || isOurs(path, marker)) return null;
  const unseen = "what its owner's processes have open cannot be seen from here; its owner and root see it";
  if (mayHideOwner(path, marker.uid) || marker.uid === 0) return unseen;
  // Its owner may be another than its writer's.
  if (marker.changedNs !== marker.modifiedNs)
    return "its owner, mode or times were changed later, so that it may be another's; its owner and root see who has it open";
  return mayHaveProcesses(marker.uid) ? unseen : null;
}

function ageSeconds(modifiedNs: bigint): number {
  return Date.now() / 1000 - Number(modifiedNs / 1_000_000n) / 1000;
}

/** PID 1 of a namespace is its init: every container has one, and on a host it writes no markers. */
const initPid = 1;

function bareProcessEvidence(path: string, marker: MarkerFacts, pid: number): Evidence[] {
  const inContainer = writerInContainer(path, marker, pid);
  if (inContainer !== null) return [inContainer];
  if (pid === initPid) return [unknown("other container", "PID 1 is the first process of any container")];
  const process = readProcess(pid);
  if (process.kind === "hidden") {
    if (isOurs(path, marker) && !process.takesSignals)
      return [absentHere(path, marker, pid, `process ${pid} here is another user's`)];
    return [maybeFound("other container", `process ${pid} exists, but may not be looked at`)];
  }
  if (process.kind === "alive") {
    // The call that asks may have got the number of a job that has ended a moment ago.
    if (isExecutable && pid === thisHost().pid)
      return [absentHere(path, marker, pid, `process ${pid} is this very call`)];
    const match = matchWriter(path, process.facts, marker, pid);
    if (match.kind === "writer")
      return [{ source: "process", says: "alive", detail: `${match.why}${orAnothers(path, marker)}` }];
    if (match.kind === "doubt") return [maybeFound("remote process", match.why)];
    return [absentHere(path, marker, pid, match.why)];
  }
  const what = process.kind === "zombie" ? `process ${pid} has ended (zombie)` : `no process ${pid} on this host`;
  return [absentHere(path, marker, pid, what)];
}

/** Hidden processes are other users': what is ours to signal, and what has a number of ours in a container, we see. */
function isOurs(path: string, { uid }: MarkerFacts): boolean {
  const ours = thisHost().uid;
  return ours !== 0 && ours === uid && !mayHideOwner(path, uid);
}

/** Where a process out of sight could have written the marker, one that fits may have its number by chance. */
function orAnothers(path: string, marker: MarkerFacts): string {
  return outOfSight(path, marker) === null ? "" : "; the number may be another's";
}

/** A process that has this PID inside a container of this host, is the marker's owner's, and older than the marker, or may be. */
function writerInContainer(path: string, marker: MarkerFacts, pid: number): Evidence | null {
  let doubt: Evidence | null = null;
  for (const outer of pidsInside(pid, marker)) {
    const found = readProcess(outer);
    if (found.kind !== "alive") continue;
    const who = `process ${outer} is ${pid} inside a container of this host`;
    const { kind, why } = matchWriter(path, found.facts, marker, outer);
    if (kind === "writer") return { source: "process", says: "alive", detail: `${who}, and is older than the marker` };
    if (kind === "doubt") doubt = maybeFound("other container", `${who}; ${why}`);
  }
  return doubt;
}

let insideContainers: { readonly pids: ReadonlyMap<number, readonly number[]>; readonly askedAtMs: number } | undefined;

/**
 * The processes of this host that have a PID inside a container. Asking every process costs; an answer serves for all markers
 * that were read before it, whose writers had begun by then.
 */
function pidsInside(pid: number, marker: MarkerFacts): readonly number[] {
  if (insideContainers === undefined || insideContainers.askedAtMs < marker.readAtMs) {
    const askedAtMs = performance.now();
    insideContainers = { pids: pidsInsideContainers(), askedAtMs };
  }
  return insideContainers.pids.get(pid) ?? [];
}

/**
 * Whether a running process can have written the marker: it is the file owner's, and older than the file. The age of the
 * process comes from the boot clock, that of the file from the wall clock. So the two are compared only as far as the wall
 * clock was not set. A script that root has started may have given up root's rights since: then it is another user's, and what it
 * does is in the marker's folder.
 */
function matchWriter(
  path: string,
  facts: ProcessFacts,
  marker: MarkerFacts,
  pid: number,
): { kind: "writer" | "doubt" | "other"; why: string } {
  if (facts.kernelThread) return { kind: "other", why: `process ${pid} here is a thread of the kernel` };
  const youngerBy = ageSeconds(marker.modifiedNs) - facts.startedBeforeSeconds;
  const touched = wasTouchedSince(marker, facts.startedBeforeSeconds)
    ? `process ${pid} here is older than the last change of the marker's owner, mode or times, so these prove nothing`
    : null;
  if (!mayBeOf(path, marker, facts.uid)) {
    if (touched !== null) return { kind: "doubt", why: touched };
    if (youngerBy <= clockSlackSeconds && worksIn(dirname(path), pid))
      return { kind: "writer", why: `process ${pid} runs on this host as uid ${facts.uid}, and works in that folder` };
    return { kind: "other", why: `process ${pid} here is of uid ${facts.uid}, the marker of uid ${marker.uid}` };
  }
  if (youngerBy <= clockSlackSeconds)
    return { kind: "writer", why: `process ${pid} runs on this host, and is older than the marker` };
  if (touched !== null) return { kind: "doubt", why: touched };
  if (youngerBy <= clockMarginSeconds && mountOf(path).shared !== false) {
    const why = `process ${pid} runs here and looks younger than the marker, but the file server's clock may be behind`;
    return { kind: "doubt", why };
  }
  const moved = clockMovedSinceBootSeconds();
  if (moved !== null && youngerBy > moved + clockSlackSeconds) {
    return { kind: "other", why: `process ${pid} here was started after the marker was written` };
  }
  return {
    kind: "doubt",
    why: `process ${pid} runs here and looks younger than the marker, but the clock was set since boot`,
  };
}

/**
 * Whoever may change a marker's owner or times has done so since that process began: it may have written it all the same. A
 * write gives a file both times at once, from one clock, inode(7): any difference is such a change, however soon it came.
 */
function wasTouchedSince({ modifiedNs, changedNs }: MarkerFacts, startedBeforeSeconds: number): boolean {
  return changedNs > modifiedNs && startedBeforeSeconds + clockSlackSeconds >= ageSeconds(changedNs);
}

/** The writer does not run where we can see: that proves its end only where nobody else can have written the marker. */
function absentHere(path: string, marker: MarkerFacts, pid: number, what: string): Evidence {
  const { fileSystem, ownToContainer } = mountOf(path);
  if (ownToContainer) return dead(`${what}, and ${fileSystem} belongs to this container`);
  const hidden = outOfSight(path, marker);
  if (hidden !== null) return unknown(hidden.because, `${what}; ${hidden.why}`);
  if (pidsInside(pid, marker).length > 0)
    return unknown("other container", `${what}, but a container has a process of that PID`);
  return dead(`${what}, and ${fileSystem} is this host's own`);
}

/** Why a process that could have written there may be out of our sight; null: none can. */
function outOfSight(path: string, marker: MarkerFacts): { readonly because: Doubt; readonly why: string } | null {
  const mount: MountFacts = mountOf(path);
  if (mount.ownToContainer) return null;
  if (mount.shared !== false) return { because: "remote process", why: mount.why };
  const others = whyOthersWriteIn(dirname(path));
  if (others !== null) return { because: "remote process", why: others };
  if (!thisHost().inInitialPidNamespace)
    return { because: "other container", why: "this is what a container sees, and no more" };
  if (!seesAllProcesses() && !isOurs(path, marker))
    return { because: "other container", why: "/proc hides processes here" };
  return null;
}
