import type { Configuration } from "../model/configuration.ts";
import type { Examine, Examined } from "../model/examine.ts";
import { inodeNumber } from "../model/inode.ts";
import { type Layout, markerPath } from "../model/layout.ts";
import type { KernelLockState, MarkerFacts } from "../model/lock-facts.ts";
import { configurationOf, type OwnerRecord } from "../model/owner-record.ts";
import { serializeOwnerRecord } from "../model/serialize-owner-record.ts";
import { asReleased, holderFrom, nobodyKnown, withSection } from "./claim-record.ts";
import { acquireKernelLock, type KernelLock } from "./kernel-lock.ts";
import type { Busy } from "./lock.ts";
import { type PlacedMarker, placeMarker } from "./marker.ts";
import { readMarker, recordOfMarker } from "./marker-reading.ts";
import { replaceMarker } from "./marker-takeover.ts";
import { freeLockState } from "./owners-lock-file.ts";
import { writeMarkerRecord } from "./unfinished-file.ts";

/** A marker that keeps changing hands while we look at it is somebody's, this many looks later. */
const mostLooks = 5;

/** Takes the marker of a configuration whose kernel lock is held: a free place, or that of a dead one. */
export async function takeMarker(
  kernel: KernelLock,
  layout: Layout,
  configuration: Configuration,
  weightsDir: string,
  record: OwnerRecord,
  examine: Examine,
): Promise<{ readonly placed: PlacedMarker } | { readonly busy: Busy }> {
  let announced = false;
  const announce = (inode: bigint) => {
    announced = true;
    kernel.write(serializeOwnerRecord(withSection(record, { markerInode: inodeNumber(inode) })));
  };
  let placed: PlacedMarker | "occupied" | "changed" = "changed";
  try {
    for (let looks = 1; ; looks += 1) {
      const marker = readMarker(weightsDir);
      if (marker === null) {
        placed = placeMarker(weightsDir, record.pid ?? process.pid, announce);
      } else {
        const owner = await markerOwner(kernel, layout, configuration, weightsDir, marker, examine);
        try {
          if (owner.busy !== null) return { busy: owner.busy };
          // The lock file is about to speak of our marker: what it said of the dead one must outlive a crash in between.
          if (owner.onlyInLockFile !== null) writeMarkerRecord(weightsDir, serializeOwnerRecord(owner.onlyInLockFile));
          placed = replaceMarker(weightsDir, marker, record.pid ?? process.pid, announce);
        } finally {
          owner.otherLock?.release();
        }
      }
      if (typeof placed !== "string") return { placed };
      if (looks === mostLooks) {
        const marker = readMarker(weightsDir);
        return {
          busy: busyMarker(weightsDir, marker, null, { verdict: { status: "active", label: "ACTIVE" }, evidence: [] }),
        };
      }
    }
  } finally {
    if (announced && typeof placed === "string") kernel.write(serializeOwnerRecord(asReleased(record, null)));
  }
}

/**
 * Judges the marker that stands in the way. A marker of trainlock may belong to a sibling configuration (another stage
 * with the same weights dir): then that one's kernel lock is what tells, and is held while its marker is changed.
 */
async function markerOwner(
  kernel: KernelLock,
  layout: Layout,
  configuration: Configuration,
  weightsDir: string,
  marker: MarkerFacts,
  examine: Examine,
): Promise<{ busy: Busy | null; otherLock: KernelLock | null; onlyInLockFile: OwnerRecord | null }> {
  const { record, beside, problem } = recordOfMarker(weightsDir, marker, () => kernel.previous);
  const owner = record === null ? null : configurationOf(record);
  const ownerPath = owner === null ? kernel.path : layout.kernelLockPath(owner);
  const otherLock = ownerPath === kernel.path ? null : await acquireKernelLock(ownerPath);
  const held = otherLock === null ? kernel : otherLock;
  const state: KernelLockState = held === "busy" ? { state: "held" } : freeLockState(record, held);
  const examined = await examine({
    kind: "file",
    name: layout.displayName(configuration),
    path: markerPath(weightsDir),
    lockPath: ownerPath,
    weightsDir,
    kernelLock: state,
    record,
    recordProblem: problem,
    marker,
    pid: record?.pid ?? marker.pid,
    startedAt: record?.acquiredAt ?? null,
  });
  const busy = examined.verdict.status === "stale" ? null : busyMarker(weightsDir, marker, record, examined);
  return { busy, otherLock: otherLock === "busy" ? null : otherLock, onlyInLockFile: beside ? null : record };
}

function busyMarker(
  weightsDir: string,
  marker: MarkerFacts | null,
  record: OwnerRecord | null,
  examined: Examined,
): Busy {
  return {
    holder: holderFrom(record, marker?.pid ?? null) ?? nobodyKnown,
    ...examined,
    path: markerPath(weightsDir),
  };
}
