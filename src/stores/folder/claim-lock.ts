import { dirname } from "node:path";
import { type SettledMount, settledMount } from "../../site/lock-scope.ts";
import { mountOf } from "../../system/files/mounts.ts";
import { acquireKernelLock, type KernelLock } from "./kernel-lock.ts";
import { noKernelLock } from "./no-kernel-lock.ts";

/** How a claim gets the lock under which it changes a marker: a kernel lock, or the stand-in for none. */
export type AcquireClaimLock = (lockPath: string) => Promise<KernelLock | "busy">;

/** A kernel lock wherever the file system is said to have them: that it then fails is a fault, never a reason to do without. */
export const acquireClaimLock: AcquireClaimLock = async (lockPath) =>
  keepsKernelLocks(dirname(lockPath)) ? acquireKernelLock(lockPath) : noKernelLock(lockPath);

/** For stores that keep everybody out by other means, and for file systems whose locks tell nothing. */
export const withoutKernelLock: AcquireClaimLock = async (lockPath) => noKernelLock(lockPath);

const rememberMs = 1000;
let known: { readonly lockDir: string; readonly mount: SettledMount; readonly askedAtMs: number } | undefined;

/** At most a second old: listings ask for each of many locks. */
function mountOfLocks(lockDir: string): SettledMount {
  if (known?.lockDir !== lockDir || performance.now() - known.askedAtMs > rememberMs)
    known = { lockDir, mount: settledMount(lockDir, mountOf(lockDir)), askedAtMs: performance.now() };
  return known.mount;
}

/** False where the mount says that it has no locks. */
export function keepsKernelLocks(lockDir: string): boolean {
  return mountOfLocks(lockDir).lockScope !== "none";
}

/** Whether holding this lock keeps out every host that could change the same marker. */
export function keepsEverybodyOut({ path, excludes }: KernelLock): boolean {
  if (!excludes) return false;
  const { lockScope, shared } = mountOfLocks(dirname(path));
  return lockScope === "cluster" || shared === false;
}
