import { lstatSync } from "node:fs";
import type { Configuration } from "../../model/configuration.ts";
import type { Evidence } from "../../model/evidence.ts";
import type { Examine } from "../../model/examine.ts";
import type { RecordReading } from "../../model/owner-record.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import { type Layout, markerPath } from "../../site/layout.ts";
import { requireOwnFolder } from "../../site/shared-folder.ts";
import type { OpenedFolder } from "../../system/files/open-beneath.ts";
import { requireWithin } from "../../system/files/within.ts";
import { errnoOf } from "../../system/libc/errno.ts";
import { removeNotedTree } from "../../system/processes/noted-tree.ts";
import type { ProcessIdentity } from "../../system/processes/process-tree.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { randomHex } from "../../system/random.ts";
import { asReleased, folderBefore, newOwnerRecord, recordedCommand, withMarker, withSection } from "../claim-record.ts";
import { earlierRuns } from "../earlier-runs.ts";
import { examineWithRanks } from "../ranks/examine-with-ranks.ts";
import { nobodyKnown } from "../record-holder.ts";
import type { Acquisition, Busy, LockStore, Wait } from "../store.ts";
import { markerBehindLink } from "./behind-link.ts";
import { steadyCheckMs } from "./check-schedule.ts";
import {
  type AcquireClaimLock,
  acquireClaimLock,
  acquireLeftLock,
  excludesAllHosts,
  sweepClaimFiles,
} from "./claim-lock.ts";
import { requireRecordPlace } from "./claimable.ts";
import { generationAfter } from "./generation.ts";
import { HeldClaim, type TakenClaim } from "./held-claim.ts";
import { busyKernelLock, judgeMarker, judgeRecord, type MarkerContext } from "./judge-owner.ts";
import type { KernelLock } from "./kernel-lock.ts";
import type { PlacedMarker } from "./marker.ts";
import { sweepSuccessors } from "./marker-takeover.ts";
import { readMarker, requireMarkerRecord } from "./read-marker.ts";
import { takeMarker } from "./take-marker.ts";
import { prepareWeightsDir, sweepTemporaryFiles, writeMarkerRecord } from "./temporary-file.ts";

export interface ClaimOptions {
  /** How often a holder looks at its locks, milliseconds. */
  readonly checkEveryMs?: number;
  /** Who the claims are for, where that is another process than this one, which looks after them. */
  readonly owner?: ProcessIdentity | undefined;
  /** The kernel lock's descriptor, which our parent has left to us with the marker. */
  readonly leftLock?: number | undefined;
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
  { checkEveryMs = steadyCheckMs, acquireLock = acquireClaimLock, owner, leftLock }: ClaimOptions = {},
): LockStore {
  const examine = examineWithRanks(examineOthers, layout.site.lockPrimitive);
  const context =
    leftLock === undefined
      ? { layout, examine, acquireLock }
      : { layout, examine: trustingParent(examine), acquireLock: acquireLeftLock(leftLock) };
  const attempt = async (by: Claimant, waited: KernelLock | null): Promise<Acquisition> => {
    const claimant = owner === undefined ? by : { ...by, owner };
    const outcome = await acquireClaim({ ...context, configuration: by.configuration }, claimant, waited);
    return "taken" in outcome
      ? { kind: "held", lock: new HeldClaim(outcome.taken, checkEveryMs) }
      : { kind: "busy", ...outcome, wait: waitFor(by, outcome.busy) };
  };
  const waitFor =
    ({ configuration, command }: Claimant, busy: Busy): Wait =>
    async (signal) => {
      const { awaitRelease } = await import("./await-release.ts");
      const place = {
        lockPath: layout.kernelLockPath(configuration),
        weightsDir: layout.weightsDir(configuration),
        primitive: layout.site.lockPrimitive,
      };
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

/** A claim that our parent has given back is over, though the parent lives and its marker is there: both are left to us. */
function trustingParent(examine: Examine): Examine {
  return async (facts) => {
    const { pid, trainlock } = facts.record ?? { pid: null, trainlock: null };
    const isParents = pid === process.ppid && trainlock?.bootId === thisHost().bootId;
    if (!isParents || trainlock?.releasedAt == null) return examine(facts);
    const detail = `left to this process by its owner at ${trainlock.releasedAt}`;
    return {
      verdict: { status: "stale", label: "STALE - PID not running", because: "PID not running" },
      evidence: [{ source: "record", says: "dead", because: "PID not running", detail }],
    };
  };
}

/** Whoever asks for a claim, and what for. */
interface Claimant {
  readonly configuration: Configuration;
  readonly command: readonly string[] | null;
  readonly token: string;
  /** Who is to hold it, where that is another process than this one. */
  readonly owner?: ProcessIdentity;
}

type Outcome = { readonly taken: TakenClaim } | { readonly busy: Busy };

/**
 * One attempt at a claim for another process, which has the kernel lock that `acquireLock` returns. This process holds nothing:
 * the owner looks after what was taken, and releases it.
 */
export function takeClaimFor(
  owner: ProcessIdentity,
  claimant: Omit<Claimant, "owner">,
  { layout, examine, acquireLock }: Pick<MarkerContext, "layout" | "examine" | "acquireLock">,
): Promise<Outcome> {
  const { configuration } = claimant;
  const context = { layout, examine, acquireLock, configuration };
  return acquireClaim(context, { ...claimant, owner }, null);
}

/** Notes what showed that those are gone who stood in the way. */
function keepingDeath(examine: Examine, evidence: Evidence[]): Examine {
  return async (facts) => {
    const examined = await examine(facts);
    if (examined.verdict.status === "stale") evidence.push(...examined.evidence);
    return examined;
  };
}

async function acquireClaim(
  context: Omit<MarkerContext, "kernel" | "weightsDir" | "folder">,
  { command: argv, token, owner }: Claimant,
  waited: KernelLock | null,
): Promise<Outcome> {
  const { layout, configuration, acquireLock } = context;
  const evidence: Evidence[] = [];
  const examine = keepingDeath(context.examine, evidence);
  const lockPath = layout.kernelLockPath(configuration);
  const weightsDir = layout.weightsDir(configuration);
  if (waited === null) requireWithin(layout, weightsDir);
  const kernel = waited ?? (await acquireLock(lockPath, layout.site.lockPrimitive));
  if (kernel === "busy") return { busy: busyKernelLock(lockPath, weightsDir, configuration) };
  let taken = false;
  let failed = false;
  let opened: OpenedFolder | null = null;
  try {
    // The file system may have changed during the wait: a link may lead out of the root by now.
    if (waited !== null) requireWithin(layout, weightsDir);
    const busy = await judgeRecord(kernel, layout, configuration, examine);
    if (busy !== null) return { busy };
    const unseen = layout.links.length === 0 ? null : await lookBehindLink(context, weightsDir, examine);
    if (unseen !== null) return { busy: unseen };
    opened = prepareWeightsDir(layout, weightsDir, kernel.excludes);
    const folder = opened.path;
    requireRecordPlace(folder);
    const markerContext = { ...context, examine, kernel, weightsDir, folder };
    // Before our own is among them.
    const elsewhere = kernel.records().map(({ reading }) => reading);
    const generation = await nextGeneration(markerContext, elsewhere);
    if (typeof generation !== "number") return generation;
    const command = recordedCommand(layout.site, argv);
    const records = [...elsewhere, requireMarkerRecord(folder)];
    const earlier = { ...earlierRuns(records, layout, configuration), evidence };
    const record = newOwnerRecord({
      ...{ configuration, token, generation, weightsDir, lockInode: kernel.inode, command, earlier },
      ...(owner === undefined ? {} : { owner }),
    });
    const marker = await takeMarker(markerContext, record);
    if ("busy" in marker) return marker;
    let complete = withMarker(record, marker.placed.file);
    try {
      // Where the marker alone kept two claims apart (an old tool may have unlinked the lock file in between), only now is it
      // certain which generation the other had.
      const sure = Math.max(generation, generationNow(markerContext, elsewhere));
      const there = requireMarkerRecord(folder);
      const before = folderBefore(there, configuration, () => timeOf(marker.placed));
      complete = withSection(complete, { generation: sure, folderBefore: before });
      if (sure > generation) kernel.write(serializeOwnerRecord(complete));
      writeMarkerRecord(folder, serializeOwnerRecord(complete));
      // The last claim's: all of its processes were found to be gone.
      removeNotedTree(folder);
    } catch (error) {
      marker.placed.remove();
      kernel.write(serializeOwnerRecord(asReleased(complete)));
      throw error;
    }
    taken = true;
    if (!excludesAllHosts(kernel)) sweepCrashed(kernel, folder, marker.placed, token);
    const placed = marker.placed.knownAs(markerPath(weightsDir));
    return { taken: { kernel, marker: placed, bounds: layout, weightsDir, record: complete, earlier } };
  } catch (error) {
    failed = true;
    throw opened?.named(error) ?? error;
  } finally {
    opened?.close();
    if (failed) kernel.abandon();
    else if (!taken) kernel.release();
  }
}

/** Throws an EnvironmentError where another configuration has the same folder behind a link. Null: nothing speaks against it. */
async function lookBehindLink(
  { layout, configuration }: Pick<MarkerContext, "layout" | "configuration">,
  weightsDir: string,
  examine: Examine,
): Promise<Busy | null> {
  const facts = markerBehindLink(
    layout,
    weightsDir,
    layout.displayName(configuration),
    layout.kernelLockPath(configuration),
  );
  if (facts !== null) return { holder: nobodyKnown, ...(await examine(facts)), path: facts.path };
  await requireOwnFolder(layout, weightsDir);
  return null;
}

/** When the marker was placed, by the file server's clock. */
function timeOf({ path }: PlacedMarker): bigint {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.mtimeNs ?? BigInt(Date.now()) * 1_000_000n;
}

/** Where nobody could claim, whoever has the marker comes first, as `check` has it. */
async function nextGeneration(
  context: MarkerContext,
  elsewhere: readonly RecordReading[],
): Promise<number | { readonly busy: Busy }> {
  try {
    return generationNow(context, elsewhere);
  } catch (error) {
    const marker = readMarker(context.folder);
    if (marker === null) throw error;
    const { busy, otherLock } = await judgeMarker(context, marker);
    otherLock?.release();
    if (busy === null) throw error;
    return { busy };
  }
}

function generationNow({ kernel, weightsDir, folder }: MarkerContext, elsewhere: readonly RecordReading[]): number {
  return generationAfter([...elsewhere, requireMarkerRecord(folder)], { lockPath: kernel.path, weightsDir });
}

/**
 * Removes what crashed claims left, once a claim has the marker without a lock that excludes all hosts. Nothing of it is in
 * anybody's way, so that no failure matters.
 */
function sweepCrashed(kernel: KernelLock, weightsDir: string, marker: PlacedMarker, token: string): void {
  try {
    sweepClaimFiles(kernel, (found) => found.kind === "record" && found.record.trainlock?.token === token);
    sweepSuccessors(weightsDir, marker);
    // A contender that loses its temporary file by this makes another, and then finds ours in place.
    sweepTemporaryFiles(weightsDir, true);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
