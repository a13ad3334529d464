import { dirname } from "node:path";
import type { Evidence } from "../model/evidence.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import type { OwnerRecord } from "../model/owner-record.ts";
import { provesFor, type SettledMount, settledMount } from "../site/lock-scope.ts";
import { whyOthersWrite } from "../site/other-hosts.ts";
import { mountOf } from "../system/files/mounts.ts";
import { livingInPlaceOf } from "../system/processes/living-process.ts";
import { notesUnlocked } from "../system/processes/noted-tree.ts";
import { seesAllProcesses } from "../system/processes/process-table.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { recordWrittenAtMs } from "./record-time.ts";

/**
 * What the kernel lock proves. Held by anyone: its owner, or the command that inherited it, lives. Free: its owner is dead,
 * if the lock reaches the owner, which is a property of the mount (scope table in docs/file-systems.md).
 */
export function kernelLockEvidence(facts: LockFacts): Evidence[] {
  const { kernelLock, record } = facts;
  // A bare marker's writer holds no kernel lock, and a remote store has none: that one says nothing about them.
  if (facts.kind === "etcd" || (facts.kind === "file" && record === null)) return [];
  const finding = (detail: string): Evidence => ({
    source: "kernel-lock",
    says: "unknown",
    because: "remote process",
    detail,
  });
  switch (kernelLock.state) {
    case "held":
      return [heldEvidence(facts)];
    case "none":
      return [finding("no kernel lock can be had there, so only the marker shows its owner")];
    case "absent":
      return [finding("its kernel lock file is gone, so nobody can be asked")];
    case "unknown":
      return [finding(`the kernel lock cannot be tested: ${kernelLock.why}`)];
    case "free": {
      const mount = settledMount(dirname(facts.lockPath), mountOf(facts.lockPath));
      if (mayGoOnUnlocked(facts)) return [finding(unlockedDetail)];
      const reach = reachOf(facts, mount);
      if ("but" in reach) return [finding(`the kernel lock is free here, but ${reach.but}${unreadable(facts)}`)];
      const because = facts.kind === "fcntl" ? "lock not held" : "PID not running";
      const unseenOn = mount.shared === false || isOfThisKernel(record) ? null : (record?.hostname ?? null);
      const detail = `the kernel lock is free, and ${reach.because}`;
      return [{ source: "kernel-lock", says: "dead", because, detail, ...(unseenOn === null ? {} : { unseenOn }) }];
    }
  }
}

const unlockedDetail =
  "the kernel lock is free, but its training had processes without it, in a PID namespace that is not seen from here: " +
  "ask on the host, outside of containers";

/**
 * Whether a training on this kernel may go on in processes that have closed the lock's descriptor, as Python's subprocess does, and
 * that are out of our sight. Outside of all containers none is: there those of the tree are looked for.
 */
function mayGoOnUnlocked({ record, weightsDir }: LockFacts): boolean {
  const section = record?.trainlock ?? null;
  const host = thisHost();
  if (section === null || section.releasedAt !== null || section.bootId === null || section.bootId !== host.bootId)
    return false;
  const { token, bootId, pidNamespace } = section;
  if (pidNamespace === host.pidNamespace || (host.inInitialPidNamespace && seesAllProcesses())) return false;
  // What the training has started in a container of its own may ask again: it is what was noted.
  if (process.env.TRAINLOCK_TOKEN === token) return false;
  const folder = weightsDir ?? section.weightsDir;
  return token !== null && folder !== null && notesUnlocked(folder, { token, bootId, pidNamespace });
}

function unreadable({ kind, record, recordProblem }: LockFacts): string {
  return kind === "fcntl" && record === null && recordProblem !== null ? `; its record: ${recordProblem.reason}` : "";
}

/** Whoever the lock names may have ended: then one that has inherited the lock is named. */
function heldEvidence({ record, weightsDir, lockPath }: LockFacts): Evidence {
  const living = record === null ? null : livingInPlaceOf(record, weightsDir, lockPath);
  const detail = "the kernel lock is held";
  if (living === null) return { source: "kernel-lock", says: "alive", detail };
  return { source: "kernel-lock", says: "alive", detail: `${detail}, by process ${living.pid}`, living };
}

function isOfThisKernel(record: OwnerRecord | null): boolean {
  const { bootId, hostname } = thisHost();
  const theirs = record?.trainlock?.bootId ?? null;
  return theirs === null ? record?.hostname === hostname : theirs === bootId;
}

/** Why a free lock proves that this owner is gone, or why it does not. */
function reachOf(facts: LockFacts, mount: SettledMount): { readonly because: string } | { readonly but: string } {
  const { record, path } = facts;
  const bootId = record?.trainlock?.bootId ?? null;
  if (bootId !== null && bootId === thisHost().bootId) return { because: "its owner was on this kernel" };
  if (mount.lockScope === "cluster" && provesFor(mount.proof, record?.hostname ?? null))
    return { because: `${mount.fileSystem} locks reach every host` };
  // A lock dir of this host's own says nothing about a weights dir that others write to, too.
  const other = [mount, mountOf(path)].find(({ shared }) => shared !== false);
  if (other !== undefined) return { but: other.why };
  const others = whyOthersWrite(record, recordWrittenAtMs(facts));
  return others === null ? { because: `every holder on ${mount.fileSystem} is on this host` } : { but: others };
}
