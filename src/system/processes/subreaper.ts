import { isOwnChild } from "./own-children.ts";
import { readStatLine } from "./proc-files.ts";
import { addressOf, systemCall } from "./system-calls.ts";

/** PR_SET_CHILD_SUBREAPER of linux/prctl.h. */
const setChildSubreaper = 36;
/** P_ALL, and WNOHANG, WEXITED and WNOWAIT of sys/wait.h. */
const anyChild = 0;
const [doNotWait, ended, leaveThere] = [1, 4, 0x0100_0000];
/** siginfo_t has 128 bytes. Three ints, then a union that is aligned to 8 bytes and begins with si_pid (sigaction(2)). */
const infoInts = 32;
const pidAt = 4;

/**
 * From now on a descendant whose parent ends becomes our child, whatever session, process group or environment it has moved to
 * (PR_SET_CHILD_SUBREAPER(2const)). False where the kernel refuses.
 */
export function becomeSubreaper(): boolean {
  return systemCall("prctl", setChildSubreaper, 1) === 0;
}

/** Whether this process has any child at all: without one it has no descendant either, once it is a subreaper. */
export function hasChildren(): boolean {
  return peekAtEnded() !== null;
}

/**
 * Collects the orphans that have ended. Each by its PID: what the runtime has started it collects itself, and `except` is
 * somebody else's to ask. False: one of those stands before others in the queue, so ask again in a while.
 */
export function reapOrphans(except: number | null): boolean {
  for (;;) {
    const pid = peekAtEnded();
    if (pid === null || pid === 0) return true;
    if (pid === except || isOwnChild(pid, readStatLine(pid)?.startTimeTicks ?? null)) return false;
    if (systemCall("wait4", pid, 0, doNotWait, 0) !== pid) return false;
  }
}

/** The PID of a child that has ended and stays so, 0 when none has, null without children: waitid(2) with WNOWAIT. */
function peekAtEnded(): number | null {
  const info = new Int32Array(infoInts);
  if (systemCall("waitid", anyChild, 0, addressOf(info), doNotWait | ended | leaveThere, 0) !== 0) return null;
  return info[pidAt] ?? 0;
}
