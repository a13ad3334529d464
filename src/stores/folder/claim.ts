import type { Configuration } from "../../model/configuration.ts";
import type { Examine } from "../../model/examine.ts";
import { inodeNumber } from "../../model/inode.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { requireWithin } from "../../system/files/within.ts";
import { randomHex } from "../../system/random.ts";
import {
  asReleased,
  generationOf,
  holderFrom,
  isReleased,
  newOwnerRecord,
  nobodyKnown,
  withSection,
} from "../claim-record.ts";
import { refuseCollision } from "../name-collision.ts";
import type { Acquisition, Busy, HeldLock, LockStore, Wait } from "../store.ts";
import { steadyCheckMs } from "./check-schedule.ts";
import { type AcquireClaimLock, acquireClaimLock, keepsEverybodyOut } from "./claim-lock.ts";
import { holdClaim } from "./held-claim.ts";
import type { KernelLock } from "./kernel-lock.ts";
import { kernelHolder } from "./kernel-lock-probe.ts";
import type { MarkerContext } from "./marker-owner.ts";
import { requireMarkerRecord } from "./read-marker.ts";
import { knowingRequeue } from "./requeue.ts";
import { sweepCrashed } from "./sweep-crashed.ts";
import { takeMarker } from "./take-marker.ts";
import { prepareWeightsDir, writeMarkerRecord } from "./temporary-file.ts";

export interface ClaimOptions {
  /** How often a holder looks at its locks, milliseconds. */
  readonly checkEveryMs?: number;
  /** Where the kernel lock comes from, if there is one; else as the mount of the lock dir says. */
  readonly acquireLock?: AcquireClaimLock;
}

/**
 * Kernel lock and marker as one claim: the kernel lock first, then the marker; either busy and all is given back. What
 * other programs hold, of either kind, excludes us, and ours excludes them. Without kernel locks it is the marker alone.
 */
export function claimStore(
  layout: Layout,
  examineOthers: Examine,
  { checkEveryMs = steadyCheckMs, acquireLock = acquireClaimLock }: ClaimOptions = {},
): LockStore {
  const context = { layout, examine: knowingRequeue(examineOthers), acquireLock };
  const attempt = async (by: Claimant, waited: KernelLock | null): Promise<Acquisition> => {
    const outcome = await acquireClaim({ ...context, configuration: by.configuration }, by, waited, checkEveryMs);
    return "lock" in outcome
      ? { kind: "held", ...outcome }
      : { kind: "busy", ...outcome, wait: waitFor(by, outcome.busy) };
  };
  const waitFor =
    ({ configuration, command }: Claimant, busy: Busy): Wait =>
    async (signal) => {
      const { awaitRelease } = await import("./await-release.ts");
      const place = { lockPath: layout.kernelLockPath(configuration), weightsDir: layout.weightsDir(configuration) };
      const kernel = await awaitRelease(place, busy, signal);
      if (kernel === null && signal.aborted) return null;
      return {
        acquire: (token = randomHex(16)) => attempt({ configuration, command, token }, kernel),
        giveUp: () => kernel?.release(),
      };
    };
  return {
    acquire: (configuration, command, token = randomHex(16)) => attempt({ configuration, command, token }, null),
  };
}

/** Whoever asks for a claim, and what for. */
interface Claimant {
  readonly configuration: Configuration;
  readonly command: readonly string[] | null;
  readonly token: string;
}

type Outcome = { readonly lock: HeldLock } | { readonly busy: Busy };

async function acquireClaim(
  context: Omit<MarkerContext, "kernel" | "weightsDir">,
  { command, token }: Claimant,
  waited: KernelLock | null,
  checkEveryMs: number,
): Promise<Outcome> {
  const { layout, configuration, examine, acquireLock } = context;
  const lockPath = layout.kernelLockPath(configuration);
  const weightsDir = layout.weightsDir(configuration);
  if (waited === null) requireWithin(layout.root, weightsDir);
  const kernel = waited ?? (await acquireLock(lockPath));
  if (kernel === "busy") return { busy: busyKernelLock(lockPath, weightsDir, configuration) };
  let taken = false;
  try {
    // The file system may have changed during the wait: a link may lead out of the root by now.
    if (waited !== null) requireWithin(layout.root, weightsDir);
    const busy = await foreignRecord(kernel, layout, configuration, examine);
    if (busy !== null) return { busy };
    prepareWeightsDir(weightsDir, kernel.excludes);
    const generation = 1 + highestGeneration(kernel, weightsDir);
    const record = newOwnerRecord({ configuration, token, generation, weightsDir, lockInode: kernel.inode, command });
    const marker = await takeMarker({ ...context, kernel, weightsDir }, record);
    if ("busy" in marker) return marker;
    let complete = withSection(record, { markerInode: inodeNumber(marker.placed.inode) });
    try {
      // Where the marker alone kept two claims apart (an old tool may have unlinked the lock file in between), only now is it
      // certain which generation the other had.
      const sure = Math.max(generation, 1 + generationOf(requireMarkerRecord(weightsDir)));
      complete = withSection(complete, { generation: sure });
      if (sure > generation) kernel.write(serializeOwnerRecord(complete));
      writeMarkerRecord(weightsDir, serializeOwnerRecord(complete));
    } catch (error) {
      marker.placed.remove();
      kernel.write(serializeOwnerRecord(asReleased(complete, null)));
      throw error;
    }
    taken = true;
    if (!keepsEverybodyOut(kernel)) sweepCrashed(kernel, weightsDir, marker.placed, token);
    return { lock: holdClaim(kernel, marker.placed, weightsDir, complete, checkEveryMs) };
  } finally {
    if (!taken) kernel.release();
  }
}

function highestGeneration(kernel: KernelLock, weightsDir: string): number {
  return Math.max(...[...kernel.records(), requireMarkerRecord(weightsDir)].map(generationOf));
}

function busyKernelLock(path: string, weightsDir: string, configuration: Configuration): Busy {
  const { record, pid } = kernelHolder(path, weightsDir);
  if (record !== null) refuseCollision(record, configuration, path);
  return {
    holder: holderFrom(record, pid) ?? nobodyKnown,
    verdict: { status: "active", label: "ACTIVE" },
    evidence: [{ source: "kernel-lock", says: "alive", detail: "the kernel lock is held" }],
    path,
  };
}

/**
 * We hold the kernel lock, yet its last owner did not sign off. Where flock reaches everybody that is proof of its death;
 * where it does not (see docs/file-systems.md), the owner may live on another host.
 */
async function foreignRecord(
  kernel: KernelLock,
  layout: Layout,
  configuration: Configuration,
  examine: Examine,
): Promise<Busy | null> {
  if (kernel.previous.kind !== "record" || isReleased(kernel.previous.record)) return null;
  const record = kernel.previous.record;
  refuseCollision(record, configuration, kernel.path);
  const { verdict, evidence } = await examine({
    kind: "fcntl",
    name: layout.displayName(configuration),
    path: kernel.path,
    lockPath: kernel.path,
    weightsDir: layout.weightsDir(configuration),
    kernelLock: { state: kernel.excludes ? "free" : "none" },
    record,
    recordProblem: null,
    marker: null,
    pid: record.pid,
    startedAt: record.acquiredAt,
  });
  if (verdict.status === "stale") return null;
  return { holder: holderFrom(record, null) ?? nobodyKnown, verdict, evidence, path: kernel.path };
}
