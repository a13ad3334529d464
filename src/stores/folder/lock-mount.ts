import { type SettledMount, settledMount } from "../../site/lock-scope.ts";
import { mountOf } from "../../system/files/mounts.ts";

const rememberMs = 1000;
let known: { readonly lockDir: string; readonly mount: SettledMount; readonly askedAtMs: number } | undefined;

/** The mount of a lock dir, at most a second old: listings ask for each of many locks. */
export function mountOfLocks(lockDir: string): SettledMount {
  if (known?.lockDir !== lockDir || performance.now() - known.askedAtMs > rememberMs)
    known = { lockDir, mount: settledMount(lockDir, mountOf(lockDir)), askedAtMs: performance.now() };
  return known.mount;
}

/** Whether somebody of whom nothing is known may hold a lock in this folder that is free here: on another host. */
export function mayBeHeldUnseen(lockDir: string): boolean {
  const { shared, lockScope, proof } = mountOfLocks(lockDir);
  if (shared === false || lockScope === "none") return false;
  return lockScope !== "cluster" || proof !== null;
}
