import { LockLostError } from "../../model/errors.ts";
import { inodeNumber } from "../../model/inode.ts";
import type { OwnerRecord, RecordReading } from "../../model/owner-record.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import { errnoOf } from "../../system/libc/errno.ts";
import { asReleased, generationOf, withChild, withSection } from "../claim-record.ts";
import type { HeldLock } from "../store.ts";
import { scheduleChecks } from "./check-schedule.ts";
import { excludesAllHosts } from "./claim-lock.ts";
import type { KernelLock } from "./kernel-lock.ts";
import { type PlacedMarker, placeMarker } from "./marker.ts";
import { readMarkerRecord } from "./read-marker.ts";
import { writeMarkerRecord } from "./temporary-file.ts";

/** Keeps a claim that was just taken: looks after both locks, tells when they are lost, gives them back. */
// biome-ignore lint/complexity/noExcessiveLinesPerFunction: the claim's state is shared by all functions in it; to become a class.
export function holdClaim(
  kernelTaken: KernelLock,
  markerPlaced: PlacedMarker,
  weightsDir: string,
  taken: OwnerRecord,
  checkEveryMs: number,
): HeldLock {
  let kernel = kernelTaken;
  let marker = markerPlaced;
  let record = taken;
  const orphans: KernelLock[] = [];
  const excludesAll = excludesAllHosts(kernelTaken);
  const token = taken.trainlock?.token ?? "";
  const generation = taken.trainlock?.generation ?? 0;
  const lost = new AbortController();
  let released = false;
  /** Checks, notes and the release come one after another: each changes the same two files. */
  let turn: Promise<void> = Promise.resolve();
  const inTurn = (work: () => Promise<void>): Promise<void> => {
    const mine = turn.then(work);
    turn = mine.catch(() => undefined);
    return mine;
  };

  const isOurs = (reading: RecordReading) => reading.kind === "record" && reading.record.trainlock?.token === token;
  const isComplete = (reading: RecordReading) => {
    const found = reading.kind === "record" ? reading.record.trainlock : null;
    const own = record.trainlock;
    const same = (key: "markerInode" | "lockInode" | "childPid") => found?.[key] === own?.[key];
    return isOurs(reading) && same("markerInode") && same("lockInode") && same("childPid");
  };
  const lose = (why: string) => {
    checks.stop();
    lost.abort(new LockLostError(why));
  };

  /** A lock file unlinked under us is made and locked again at once, before anybody else takes the name for free. */
  const keepKernelLock = async (): Promise<boolean> => {
    if (kernel.isInPlace()) return true;
    const again = await kernel.lockAgain();
    if (again === "busy") {
      lose(`${kernel.path} was removed, and somebody else has locked a new one`);
      return false;
    }
    if (generationOf(again.previous) > generation) {
      again.release();
      lose(`${kernel.path} was removed, and another claim has been made since`);
      return false;
    }
    // A command has inherited the old file: that the new one is free would prove nothing about it.
    if (record.trainlock?.childPid === null) record = withSection(record, { lockInode: inodeNumber(again.inode) });
    again.write(serializeOwnerRecord(record));
    // The old one stays locked: a Python waiter polls on its descriptor, and must not win a lock that nobody else sees.
    orphans.push(kernel);
    kernel = again;
    return true;
  };

  const keepMarker = () => {
    const where = marker.where();
    if (where === "in place") return;
    const again = where === "gone" ? placeMarker(weightsDir, record.pid ?? process.pid, rememberMarker) : "occupied";
    if (again === "occupied") return lose(`${marker.path} is another's`);
    marker.remove();
    marker = again;
  };
  const rememberMarker = (inode: bigint) => {
    record = withSection(record, { markerInode: inodeNumber(inode) });
    kernel.write(serializeOwnerRecord(record));
  };

  const keepRecords = () => {
    if (!isComplete(kernel.read())) kernel.write(serializeOwnerRecord(record));
    if (!isComplete(readMarkerRecord(weightsDir).reading)) writeMarkerRecord(weightsDir, serializeOwnerRecord(record));
  };

  const look = async () => {
    if (!(await keepKernelLock())) return;
    keepMarker();
    if (!lost.signal.aborted) keepRecords();
  };
  const check = async () => {
    if (released || lost.signal.aborted) return;
    try {
      await look();
    } catch (error) {
      // A file system that does not answer proves no loss; the next check asks again.
      if (errnoOf(error) === undefined) throw error;
    }
  };
  const assertHeld = async () => {
    if (released) throw new LockLostError("the lock has been released");
    if (!lost.signal.aborted) {
      await look().catch((error: unknown) => {
        throw errnoOf(error) === undefined ? error : cannotTell(error);
      });
    }
    lost.signal.throwIfAborted();
  };
  const checks = scheduleChecks(() => inTurn(check), checkEveryMs, [kernelTaken.path, markerPlaced.path]);

  const release = async (exitCode: number | null) => {
    if (released) return;
    released = true;
    checks.stop();
    record = asReleased(record, exitCode);
    const closing = serializeOwnerRecord(record);
    const closeBeside = (content: Buffer) => {
      if (isOurs(readMarkerRecord(weightsDir).reading)) writeMarkerRecord(weightsDir, content);
    };
    // The record first: a marker that outlives a crash in between is known to be given back. Where such a marker may be taken
    // over before we have removed it, the record must not speak of it yet, and is a successor's once it is removed.
    attempt(() =>
      closeBeside(excludesAll ? closing : serializeOwnerRecord(withSection(record, { markerInode: null }))),
    );
    let isGone = false;
    attempt(() => {
      isGone = marker.remove();
    });
    if (!isGone && !excludesAll) attempt(() => closeBeside(closing));
    attempt(() => kernel.write(closing));
    for (const held of [kernel, ...orphans]) attempt(() => held.release());
  };

  return {
    token,
    generation,
    address: kernelTaken.path,
    lost: lost.signal,
    descriptors: kernelTaken.descriptors,
    recordChild: (pid) =>
      inTurn(async () => {
        // The record beside the marker follows at the first check: a rename costs a short command more than its run.
        record = withChild(record, pid);
        kernel.write(serializeOwnerRecord(record));
      }),
    check: () => inTurn(check),
    assertHeld: () => inTurn(assertHeld),
    release: (outcome) => inTurn(() => release(outcome?.exitCode ?? null)),
  };
}

function cannotTell(error: unknown): LockLostError {
  return new LockLostError(
    `it cannot be told whether the lock is held: ${error instanceof Error ? error.message : error}`,
  );
}

/** Giving back must not stop half way: a full disk keeps a record from being written, not a lock from being freed. */
function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
