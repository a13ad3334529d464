import { dirname } from "node:path";
import type { MayClear } from "../model/examine.ts";
import type { MarkerFacts } from "../model/lock-facts.ts";
import { configurationOf, type OwnerRecord } from "../model/owner-record.ts";
import { serializeOwnerRecord } from "../model/serialize-owner-record.ts";
import type { Layout } from "../site/layout.ts";
import { generationOf, newOwnerRecord, withMarker } from "../stores/claim-record.ts";
import { acquireLockToClear, excludesAllHosts } from "../stores/folder/claim-lock.ts";
import type { KernelLock } from "../stores/folder/kernel-lock.ts";
import { interpretFreeLock, isOfAnotherClaim, readLockRecord } from "../stores/folder/lock-file.ts";
import type { Announce } from "../stores/folder/marker.ts";
import { electSuccessor, removeByRename, removeUnderKernelLock } from "../stores/folder/marker-takeover.ts";
import { readMarker, recordOfMarker } from "../stores/folder/read-marker.ts";
import { sweepTemporaryFiles } from "../stores/folder/temporary-file.ts";
import { shownPath } from "../system/files/byte-names.ts";
import { openBeneath } from "../system/files/open-beneath.ts";
import { randomHex } from "../system/random.ts";
import type { LockReport } from "./lock-report.ts";

/** Removes a marker that is judged anew, under its kernel lock, at this moment. False: it is alive, or another's. */
export async function clearMarker(layout: Layout, lock: LockReport, mayClear: MayClear): Promise<boolean> {
  const weightsDir = dirname(lock.place);
  // What is removed is in this very folder, whatever is swapped on the way to it meanwhile.
  const opened = openBeneath(layout, weightsDir);
  try {
    const kernel = await lockForMarker(layout, weightsDir, opened.path);
    if (kernel === "busy") return false;
    let isDone = false;
    try {
      const cleared = await clearUnderLock(kernel, lock, opened.path, mayClear);
      isDone = true;
      return cleared;
    } finally {
      if (isDone) kernel.release();
      else kernel.abandon();
    }
  } catch (error) {
    throw opened.named(error);
  } finally {
    opened.close();
  }
}

/** `folder`: a path to the weights dir through its descriptor. */
async function clearUnderLock(
  kernel: KernelLock,
  lock: LockReport,
  folder: string,
  mayClear: MayClear,
): Promise<boolean> {
  const mayClearMarker = (marker: MarkerFacts): Promise<boolean> => {
    const { record, problem, otherTime } = recordOfMarker(folder, marker, () => kernel.records());
    return mayClear({
      kind: "file",
      name: lock.name,
      path: lock.place,
      lockPath: kernel.path,
      weightsDir: dirname(lock.place),
      kernelLock: interpretFreeLock(record, kernel),
      record,
      recordProblem: problem,
      otherTime,
      marker,
      pid: marker.pid,
      startedAt: lock.startedAt,
    });
  };
  const marker = readMarker(folder);
  if (marker === null || !(await mayClearMarker(marker))) return false;
  const removed = excludesAllHosts(kernel)
    ? removeUnderLock(kernel, folder, marker)
    : await removeAsSuccessor(kernel, folder, marker, mayClearMarker);
  if (removed === "removed") sweepTemporaryFiles(folder, kernel.excludes);
  return removed === "removed";
}

/** The kernel lock under which this folder's marker may be changed: that of the configuration whose marker it is. */
async function lockForMarker(layout: Layout, weightsDir: string, folder: string): Promise<KernelLock | "busy"> {
  const path = layout.kernelLockPathOfWeightsDir(shownPath(weightsDir).text);
  const marker = readMarker(folder);
  const record = marker === null ? null : recordOfMarker(folder, marker, () => []).record;
  const owner = record === null ? null : configurationOf(record);
  const ownerPath = owner === null ? path : layout.kernelLockPath(owner);
  const isAnothers = ownerPath !== path && isOfAnotherClaim(readLockRecord(ownerPath), record);
  return acquireLockToClear(isAnothers ? path : ownerPath, layout.site.lockPrimitive);
}

/**
 * While the kernel lock is ours, its file describes the marker that takes the dead one's place for a moment: should we die in
 * between, the next claim knows whose it was. Then the file has again what was in it. A file that cannot be read is left alone.
 */
function removeUnderLock(kernel: KernelLock, weightsDir: string, marker: MarkerFacts): "removed" | "changed" {
  const { previous } = kernel;
  const record = clearingRecord(kernel, weightsDir);
  let written = false;
  const announce: Announce = (own) => {
    if (previous.kind === "unreadable") return;
    written = true;
    kernel.write(serializeOwnerRecord(withMarker(record, own)));
  };
  try {
    return removeUnderKernelLock(weightsDir, marker, process.pid, announce);
  } finally {
    if (written) kernel.write(previous.kind === "record" ? serializeOwnerRecord(previous.record) : Buffer.alloc(0));
  }
}

/** Who clears, in place of an owner. Counts no further than what is written there. */
function clearingRecord(kernel: KernelLock, weightsDir: string): OwnerRecord {
  const generation = generationOf(kernel.previous);
  const who = { configuration: null, token: randomHex(16), generation, lockInode: kernel.inode, command: null };
  return newOwnerRecord({ ...who, weightsDir });
}

/** Without a kernel lock, `clear` first wins the right to take over, as a takeover does. */
async function removeAsSuccessor(
  kernel: KernelLock,
  weightsDir: string,
  marker: MarkerFacts,
  mayClearMarker: (marker: MarkerFacts) => Promise<boolean>,
): Promise<"removed" | "changed"> {
  const record = clearingRecord(kernel, weightsDir);
  // Should we die in between, nobody must be left wondering whose that was. A lock file is not ours to write, though.
  const announce: Announce = (own) => {
    if (!kernel.excludes) kernel.write(serializeOwnerRecord(withMarker(record, own)));
  };
  const judge = async (successor: MarkerFacts) => ((await mayClearMarker(successor)) ? null : "alive");
  const takeover = await electSuccessor(weightsDir, marker, process.pid, announce, judge);
  if (takeover === "changed" || "objection" in takeover) return "changed";
  try {
    return removeByRename(weightsDir, takeover);
  } finally {
    takeover.successor.remove();
  }
}
