import { lstatSync } from "node:fs";
import { basename } from "node:path";
import { isAboutWrites } from "../../model/evidence.ts";
import { markerPath } from "../../site/layout.ts";
import { sleepUnlessAborted, withJitter } from "../../system/clock/sleep.ts";
import { mountOf } from "../../system/files/mounts.ts";
import { watchName } from "../../system/files/watch-name.ts";
import { type LockPrimitive, tryLock } from "../../system/libc/flock.ts";
import { waitForFlock } from "../../system/processes/blocking-flock.ts";
import { readProcess } from "../../system/processes/process-table.ts";
import type { Busy } from "../store.ts";
import { type KernelLock, waitForKernelLock } from "./kernel-lock.ts";

/** How long a change may go unnoticed where no watch reports it. */
const pollMs = 1000;
/**
 * Cheap looks see changes; what only evidence shows (a job that ended on another host) is asked for this often. A process is cheap
 * to ask.
 */
const askAgainMs = { process: 2000, writes: 10_000, others: 60_000 } as const;

export interface Place {
  readonly lockPath: string;
  readonly weightsDir: string;
  readonly primitive: LockPrimitive;
}

/**
 * Waits for the holder. If it has the kernel lock, we wait for that: in the kernel's queue on a local file system, by asking
 * now and then on a network file system. Returns that lock. Null: something has changed, or may have, or the wait is aborted.
 */
export async function awaitRelease(place: Place, busy: Busy, signal: AbortSignal): Promise<KernelLock | null> {
  const local = mountOf(place.lockPath).shared === false;
  if (!isKernelLockHeld(place, busy)) {
    await awaitChange(place, busy, local, signal);
    return null;
  }
  // flock(1) waits for flock(2) alone.
  if (local && place.primitive === "flock") {
    const queue = { works: true };
    const lock = await waitForKernelLock(place.lockPath, place.primitive, async (fd) => {
      const how = await waitForFlock(fd, signal);
      queue.works = how !== "unsupported";
      return how === "locked";
    });
    if (lock !== null || queue.works) return lock;
  }
  return pollForLock(place, signal);
}

function isKernelLockHeld({ lockPath }: Place, { path, evidence }: Busy): boolean {
  return path === lockPath && evidence.some(({ source, says }) => source === "kernel-lock" && says === "alive");
}

async function pollForLock({ lockPath, primitive }: Place, signal: AbortSignal): Promise<KernelLock | null> {
  while (!signal.aborted) {
    await sleepUnlessAborted(withJitter(pollMs), signal);
    if (signal.aborted) return null;
    // Opened anew each time: that is when NFS looks whether the name still leads to the same file.
    const take = async (fd: number) => tryLock(primitive, fd, lockPath, "exclusive") === "locked";
    const lock = await waitForKernelLock(lockPath, primitive, take);
    if (lock !== null) return lock;
  }
  return null;
}

/** Until the marker or the lock file is another, or the process that was found alive is gone. */
async function awaitChange(
  { lockPath, weightsDir }: Place,
  busy: Busy,
  local: boolean,
  signal: AbortSignal,
): Promise<void> {
  const marker = markerPath(weightsDir);
  const watch = local ? await watchName(weightsDir, basename(marker)) : null;
  try {
    const isMarker = busy.path === marker;
    if (isMarker && fingerprint(marker) === null) return;
    const look = () => `${fingerprint(marker)} ${fingerprint(lockPath)}`;
    const before = look();
    // Where the wrapper is gone already, it is its command that was found alive.
    const { pid } = busy.holder;
    const runsHere = pid !== null && !hasEnded(pid);
    const process = busy.evidence.some(({ source, says }) => source === "process" && says === "alive");
    const { verdict } = busy;
    const writes = verdict.status === "unknown" && isAboutWrites(verdict.because);
    const askAgainAt = performance.now() + askAgainMs[process && !runsHere ? "process" : writes ? "writes" : "others"];
    while (!signal.aborted && performance.now() < askAgainAt) {
      const pause = sleepUnlessAborted(withJitter(pollMs), signal);
      if ((await Promise.race([pause, watch?.changed ?? pause])) === "changed" || look() !== before) return;
      if (runsHere && hasEnded(pid)) return;
    }
  } finally {
    watch?.stop();
  }
}

function fingerprint(path: string): string | null {
  try {
    const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
    return stats === undefined ? null : `${stats.ino}:${stats.mtimeNs}:${stats.size}`;
  } catch {
    return "not to be seen";
  }
}

function hasEnded(pid: number): boolean {
  const { kind } = readProcess(pid);
  return kind === "gone" || kind === "zombie";
}
