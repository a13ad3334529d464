import { type BigIntStats, closeSync, constants, fstatSync, openSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { messageOf } from "../../model/errors.ts";
import type { OwnerRecord } from "../../model/owner-record.ts";
import { provesFor, settledMount } from "../../site/lock-scope.ts";
import { whyOthersWrite } from "../../site/other-hosts.ts";
import { sleep, withJitter } from "../../system/clock/sleep.ts";
import { mountOf } from "../../system/files/mounts.ts";
import { sameFile } from "../../system/files/same-file.ts";
import { errnoOf } from "../../system/libc/errno.ts";
import { tryFlock } from "../../system/libc/flock.ts";
import { tryRangeLock } from "../../system/libc/range-lock.ts";
import { holdsFlock } from "../../system/processes/flock-holders.ts";
import { procHasOurPids } from "../../system/processes/proc-files.ts";
import { readProcess } from "../../system/processes/process-table.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { trainingProcesses } from "../../system/processes/training-processes.ts";

/** A would-block that lasts longer is no other tool that only looks. */
const probePatienceMs = 10;

/**
 * Who keeps a file locked. `owner`: a process that its record names, seen in /proc. `changed`: the path leads to another
 * file than the one that was read.
 */
export type LockHolder =
  | { readonly by: "owner" | "somebody" | "nobody" | "changed" }
  | { readonly by: "unknown"; readonly why: string };

/** Asks who locks the file that was read at `path`; changes nothing on disk. */
export async function findLockHolder(path: string, read: BigIntStats, record: OwnerRecord): Promise<LockHolder> {
  const giveUpAt = performance.now() + probePatienceMs;
  for (let first = true; ; first = false) {
    const answer = askByLocking(path, read);
    if (answer.by !== "somebody") return answer;
    if (first && ownerIsSeen(path, read, record)) return { by: "owner" };
    if (performance.now() >= giveUpAt) return answer;
    await sleep(withJitter(4));
  }
}

/**
 * By flock(2) and by byte range: a site may have declared the latter (`lock_primitive: ofd`), and the environment of a
 * command does not say so. Closing the file releases the lock.
 */
function askByLocking(path: string, read: BigIntStats): LockHolder {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return { by: "changed" };
    return { by: "unknown", why: errno ?? String(error) };
  }
  try {
    if (!sameFile(fstatSync(fd, { bigint: true }), read)) return { by: "changed" };
    const taken = tryFlock(fd, path, "shared") === "busy" || tryRangeLock(fd, path, "shared") === "busy";
    return { by: taken ? "somebody" : "nobody" };
  } catch (error) {
    return { by: "unknown", why: messageOf(error) };
  } finally {
    closeSync(fd);
  }
}

/** Wrapper or command, on this kernel. On a network file system only the server knows whether the lock still is theirs. */
function ownerIsSeen(path: string, { dev, ino }: BigIntStats, { pid, trainlock }: OwnerRecord): boolean {
  const { bootId, pidNamespace } = thisHost();
  const isHere = trainlock?.bootId === bootId && trainlock?.pidNamespace === pidNamespace && procHasOurPids();
  if (!isHere || mountOf(path).shared !== false) return false;
  return [pid, trainlock.childPid].some((owner) => owner !== null && holdsFlock(owner, { path, dev, ino }));
}

/** Why this host cannot tell whether a record's owner still has the kernel lock; null: the lock reaches from there to here. */
export function outOfReach(path: string, record: OwnerRecord): string | null {
  const { hostname, trainlock } = record;
  const bootId = trainlock?.bootId ?? null;
  if (bootId !== null && bootId === thisHost().bootId) return null;
  const mount = settledMount(dirname(path), mountOf(path));
  if (mount.shared === false) return whyOthersWrite(record, statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? null);
  return mount.lockScope === "cluster" && provesFor(mount.proof, hostname) ? null : mount.why;
}

/** Whether the owner of a claim without a kernel lock is seen on this kernel: its wrapper, or the command that outlives it. */
export function ownerRunsHere({ pid, trainlock }: OwnerRecord): boolean {
  const { bootId, pidNamespace } = thisHost();
  if (pid === null || trainlock === null || trainlock.bootId === null) return false;
  if (trainlock.bootId !== bootId || trainlock.pidNamespace !== pidNamespace) return false;
  if (runsSince(pid, trainlock.startTimeTicks) || runsSince(trainlock.childPid, trainlock.childStartTimeTicks))
    return true;
  return trainingProcesses(trainlock, trainlock.weightsDir).length > 0;
}

function runsSince(pid: number | null, beganTicks: number | null): boolean {
  const found = pid === null ? null : readProcess(pid);
  return found?.kind === "alive" && found.facts.startTimeTicks === beganTicks;
}
