import { EnvironmentError } from "../model/errors.ts";
import type { Layout } from "../site/layout.ts";
import { settledMount } from "../site/lock-scope.ts";
import { sleep } from "../system/clock/sleep.ts";
import { mountOf } from "../system/files/mounts.ts";
import { nearestExisting } from "../system/files/nearest-existing.ts";
import { callerEnvironment } from "../system/processes/caller.ts";
import { pollChild, spawnCommand } from "../system/processes/command-process.ts";
import { noteOwnChild } from "../system/processes/own-children.ts";

/**
 * Asks for a lock in a process of its own before this one does: over NFS without a lock manager the call never returns, and
 * no time limit of ours could end it. On a local file system nobody is asked, for nobody could keep us waiting. Resolves with
 * a word of warning where kernel locks are not known to reach other hosts, or are not to be had; null where they are.
 */
export async function checkLockReach(layout: Layout): Promise<string | null> {
  const { lockDir, site } = layout;
  const mount = mountOf(lockDir);
  if (mount.shared === false) return null;
  const { lockScope, why } = settledMount(lockDir, mount);
  if (lockScope === "none") {
    return (
      `no kernel locks can be had here (${why}); the marker alone excludes, ` +
      "and what another host left is never taken over without proof"
    );
  }
  await requireAnswer(nearestExisting(lockDir).path, site.timeouts.probeMs);
  if (lockScope === "cluster") return null;
  return (
    `kernel locks are not known to reach other hosts here (${why}); between hosts the marker excludes, ` +
    "and what another host left is never taken over without proof"
  );
}

/**
 * Uses posix_spawn only. The runtime's own way to start programs closes the numbers of its pipes again later. If the lock's
 * descriptor had got such a number meanwhile, it would be closed.
 */
async function requireAnswer(folder: string, timeoutMs: number): Promise<void> {
  const probe = [process.execPath, "__probe", "run", "flock between descriptors", folder] as const;
  // Only its silence counts: whatever it says, the real lock will say with the right words.
  const quietly = 'exec "$0" "$@" </dev/null >/dev/null 2>&1';
  const child = spawnCommand({
    argv: ["/bin/sh", "-c", quietly, ...probe],
    environment: callerEnvironment({}),
    keep: [],
    defaultSignals: [],
  });
  if (child.kind === "failed") return;
  noteOwnChild(child.pid);
  const giveUpAt = performance.now() + timeoutMs;
  while (performance.now() < giveUpAt) {
    const { kind } = pollChild(child.pid);
    if (kind === "exited" || kind === "signalled") return;
    await sleep(2);
  }
  process.kill(child.pid, "SIGKILL");
  throw new EnvironmentError(`locking in ${folder} does not return within ${timeoutMs / 1000} s`, {
    code: "ETIMEDOUT",
    hint: "the file server's lock manager does not answer (NFS: rpc.statd, lockd); see `trainlock doctor`",
  });
}
