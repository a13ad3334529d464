import { dirname } from "node:path";
import { historyFolder } from "../history/event-file.ts";
import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import { inodeNumber } from "../model/inode.ts";
import { afterRun, type Checkpoint, type End, type RunEnds, runEndsJson } from "../model/run-ends.ts";
import { serializeOwnerRecord } from "../model/serialize-owner-record.ts";
import { endsBefore } from "../run/count-run.ts";
import { doneRuleFor } from "../run/done-rule.ts";
import { checkLockReach } from "../run/lock-reach.ts";
import { lastWrittenCheckpoint } from "../run/newest-checkpoint.ts";
import { type Layout, markerRecordPath } from "../site/layout.ts";
import { recordedCommand } from "../stores/claim-record.ts";
import { takeClaimFor } from "../stores/folder/claim.ts";
import {
  type AcquireClaimLock,
  acquireClaimLock,
  excludesAllHosts,
  keepsKernelLocks,
} from "../stores/folder/claim-lock.ts";
import type { TakenClaim } from "../stores/folder/held-claim.ts";
import { type LockedElsewhere, shareKernelLock } from "../stores/folder/kernel-lock.ts";
import type { Busy, HeldLock } from "../stores/store.ts";
import { mountOf } from "../system/files/mounts.ts";
import { boundsOf, makeHeldFolder, type Way, wayTo } from "../system/files/open-beneath.ts";
import { ownerOf } from "../system/files/shared-permissions.ts";
import { systemError } from "../system/libc/errno.ts";
import type { LockPrimitive } from "../system/libc/flock.ts";
import type { LineSocket } from "../system/processes/line-socket.ts";
import { startTimeTicksOf } from "../system/processes/process-table.ts";
import type { ProcessIdentity } from "../system/processes/process-tree.ts";
import { type Answer, examineFor, writeLine } from "./answer.ts";
import { ClaimHistory } from "./claim-history.ts";
import { claimAround, joinClaim } from "./inside.ts";
import { type LockAnswer, parseLockAnswer, type RequestOf } from "./messages.ts";
import { settledRow } from "./settled-row.ts";

/**
 * One attempt at a claim that the calling Python program is to hold: it opens and locks the kernel lock file, and hands the
 * descriptor on; judging, marker and record are this process's work, for the caller's PID.
 */
export async function acquireForPython(
  layout: Layout,
  configuration: Configuration,
  request: RequestOf<"acquire">,
  socket: LineSocket,
): Promise<Answer | "handed over"> {
  const owner = callerOf(request);
  const note = layout.store === null ? await checkLockReach(layout) : null;
  const lockPath = layout.kernelLockPath(configuration);
  const acquireLock: AcquireClaimLock = (path, primitive) =>
    path === lockPath ? lockByCaller(socket, path, primitive) : acquireClaimLock(path, primitive);
  const around = await claimAround(layout, configuration);
  const local = mountOf(layout.lockDir).shared === false;
  const notes = note === null ? [] : [note];
  const place = { name: layout.displayName(configuration), lock_file: lockPath, local, notes };
  const weightsDir = layout.weightsDir(configuration);
  const busyPlace = { ...place, weights_dir: weightsDir, primitive: layout.site.lockPrimitive };
  if (around !== null) {
    const joined = joinClaim(layout, configuration, around, (path) => lockInside(socket, path, layout));
    return { ...joined, ...(joined.say === "busy" ? busyPlace : place) };
  }
  if (layout.store !== null) return acquireInStore(layout, configuration, socket);
  const { token, command } = request;
  const history = new ClaimHistory(layout, configuration, request, (problem) => notes.push(problem));
  const outcome = await takeClaimFor(
    owner,
    { configuration, token, command },
    { layout, examine: examineFor(layout), acquireLock },
  );
  const doneOf = ({ record: { trainlock } }: TakenClaim) =>
    doneAnswer(layout, configuration, { generation: trainlock?.generation ?? 0, command: trainlock?.command ?? [] });
  if ("busy" in outcome) {
    history.refused(outcome.busy);
    await history.written();
    return { ...busyAnswer(outcome.busy), ...busyPlace };
  }
  const { taken } = outcome;
  const before = endsBefore(taken.earlier, lastWrittenCheckpoint(weightsDir));
  const settled = await settledRow(layout, configuration, request.row, before);
  if (settled === null) {
    history.claimed({ token, generation: taken.record.trainlock?.generation ?? 0 }, taken.earlier, before);
    await history.written();
  }
  const held = { ...heldAnswer(taken, weightsDir, before), ...doneOf(taken), ...place };
  return { ...held, settled, history: history.forProgram(), ways: waysOf(layout, weightsDir) };
}

/** To what the program writes by itself while it holds the claim. */
function waysOf(layout: Layout, weightsDir: string): readonly Way[] {
  const history = historyFolder(layout.lockDir);
  return [wayTo(layout, weightsDir), wayTo(boundsOf(history, dirname(layout.lockDir)), history)];
}

/** The caller says whether it holds this lock already; else a keeper claims it, which outlives this process. */
function acquireInStore(layout: Layout, configuration: Configuration, socket: LineSocket): Answer | "handed over" {
  const lockPath = layout.kernelLockPath(configuration);
  if (askCaller(socket, lockPath, "none") === "unlocked") return "handed over";
  const place = { name: layout.displayName(configuration), lock_file: lockPath, local: true, notes: [] };
  const weightsDir = layout.weightsDir(configuration);
  const own = { say: "busy", holder: null, status: "active", label: "ACTIVE", path: lockPath, kernel_lock: false };
  return { ...own, ...place, evidence: [], weights_dir: weightsDir, store: true };
}

/** The process that started this one: a claim is recorded for nobody else. */
function callerOf({ pid }: RequestOf<"acquire">): ProcessIdentity {
  const startTimeTicks = process.ppid === pid ? startTimeTicksOf(pid) : null;
  if (startTimeTicks !== null) return { pid, startTimeTicks };
  throw new EnvironmentError(`process ${pid}, which asks for the lock, is not the one that started this program`, {
    code: "ERR_CALLER",
    hint: "start Python without a wrapper that hides its process, and with /proc mounted",
  });
}

/** The lock of one program at a time under a claim: of a file of its own, whatever locks there are. */
function lockInside(socket: LineSocket, path: string, layout: Layout): "locked" | "busy" {
  const locked = askCaller(socket, path, layout.site.lockPrimitive);
  if (locked === "unlocked")
    throw new EnvironmentError(`training_lock.py has not locked ${path}`, { code: "ERR_PROTOCOL", hint: renewed });
  return locked === "busy" ? "busy" : "locked";
}

/** Asks the caller to open and lock the file; where the file system keeps no locks, only whether it holds this one already. */
async function lockByCaller(socket: LineSocket, path: string, primitive: LockPrimitive) {
  const kept = keepsKernelLocks(dirname(path));
  const ask = () => askCaller(socket, path, kept ? primitive : "none");
  if (!kept) return ask() === "unlocked" ? acquireClaimLock(path, primitive) : "busy";
  makeHeldFolder(dirname(path)).close();
  return shareKernelLock(path, primitive, () => {
    const locked = ask();
    if (locked !== "unlocked") return locked;
    throw new EnvironmentError(`training_lock.py has not locked ${path}`, { code: "ERR_PROTOCOL", hint: renewed });
  });
}

/** For a file that does not do what it should. */
const renewed = "write the file again: trainlock python > training_lock.py";

function askCaller(
  socket: LineSocket,
  path: string,
  primitive: LockPrimitive | "none",
): LockedElsewhere | "busy" | "unlocked" {
  const folder = dirname(path);
  writeLine({ say: "lock", path, primitive, ways: [wayTo(boundsOf(folder), folder)] });
  const received = socket.receive();
  const answer = received === null ? null : parseLockAnswer(received.line);
  if (received === null || answer === null) {
    throw new EnvironmentError("training_lock.py has not answered", { code: "ERR_PROTOCOL", hint: renewed });
  }
  return settle(answer, received.fd, path);
}

function settle(answer: LockAnswer, fd: number | null, path: string): LockedElsewhere | "busy" | "unlocked" {
  switch (answer.answer) {
    case "locked":
      if (fd !== null) return { fd, created: answer.created };
      throw new EnvironmentError(`training_lock.py has sent no descriptor of ${path}`, {
        code: "ERR_PROTOCOL",
        hint: renewed,
      });
    case "busy":
    case "own":
      return "busy";
    case "unlocked":
      return "unlocked";
    case "failed": {
      const doing = answer.step === "open" ? "open the lock file" : "lock";
      const whose = answer.step === "open" ? (ownerOf(path) ?? ownerOf(dirname(path))) : undefined;
      throw systemError(doing, path, answer.errno, undefined, answer.why ?? whose);
    }
  }
}

function heldAnswer({ kernel, marker, record }: TakenClaim, weightsDir: string, before: RunEnds): Answer {
  return {
    say: "held",
    ends: possibleEnds(before),
    record: serializeOwnerRecord(record).toString("utf8"),
    record_file: kernel.recordPath(),
    record_beside: markerRecordPath(weightsDir),
    weights_dir: weightsDir,
    generation: record.trainlock?.generation ?? 0,
    marker: marker.path,
    marker_inode: String(inodeNumber(marker.inode)),
    excludes_all_hosts: excludesAllHosts(kernel),
  };
}

/** The done rule of the site, and what the done file says but for the times. */
function doneAnswer(
  layout: Layout,
  configuration: Configuration,
  { generation, command }: { readonly generation: number; readonly command: readonly string[] },
): Readonly<Record<string, unknown>> {
  const { patterns, smallestBytes, file } = doneRuleFor(layout, configuration);
  return {
    done: { when: patterns, minSize: smallestBytes, file },
    done_file: { configuration, when: patterns, generation, command },
  };
}

/** What the program has to know of a claim that a keeper holds for it. `endsNow`: of the runs before it. */
export function claimAnswer(
  layout: Layout,
  configuration: Configuration,
  { generation, earlier }: HeldLock,
  argv: readonly string[],
): { readonly endsNow: RunEnds; readonly told: Readonly<Record<string, unknown>> } {
  const endsNow = endsBefore(earlier, lastWrittenCheckpoint(layout.weightsDir(configuration)));
  const command = recordedCommand(layout.site, argv) ?? [];
  const done = doneAnswer(layout, configuration, { generation, command });
  return { endsNow, told: { generation, ends: possibleEnds(endsNow), ...done } };
}

/** What the record says once the program has ended: it fills in how long it took, its exit code and its newest checkpoint. */
function possibleEnds(before: RunEnds): Readonly<Record<string, unknown>> {
  const { checkpoint, checkpointWritten } = before;
  const same = { checkpoint, checkpointWritten };
  // Any other name: what counts is that there is a newer one.
  const newer = { checkpoint: "newer", checkpointWritten: null };
  const after = (end: End, newest: Checkpoint) =>
    runEndsJson(afterRun(before, { end, newest, lastExit: null, seconds: null }));
  return {
    before: runEndsJson(before),
    done: after("done", same),
    failed: after("failed", same),
    interrupted: after("interrupted", same),
    interrupted_after_progress: after("interrupted", newer),
  };
}

export function busyAnswer({ holder, verdict, evidence, path }: Busy): Answer {
  const byKernel = evidence.some(({ source, says }) => source === "kernel-lock" && says === "alive");
  return {
    say: "busy",
    holder,
    status: verdict.status,
    label: verdict.label,
    path,
    kernel_lock: byKernel,
    evidence: evidence.map(({ source, says, detail }) => ({ source, says, detail })),
  };
}
