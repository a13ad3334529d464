import type { Configuration } from "../../model/configuration.ts";
import type { Examine, Examined } from "../../model/examine.ts";
import type { KernelLockState, MarkerFacts } from "../../model/lock-facts.ts";
import { configurationOf, type OwnerRecord } from "../../model/owner-record.ts";
import { type Layout, markerPath } from "../../site/layout.ts";
import { holderFrom, nobodyKnown } from "../claim-record.ts";
import type { Busy } from "../store.ts";
import type { AcquireClaimLock } from "./claim-lock.ts";
import type { KernelLock } from "./kernel-lock.ts";
import { freeLockState } from "./owners-lock-file.ts";
import { recordOfMarker } from "./read-marker.ts";

/** Whose marker is wanted, and by what means. */
export interface MarkerContext {
  /** Held, or the stand-in for none. */
  readonly kernel: KernelLock;
  readonly layout: Layout;
  readonly configuration: Configuration;
  readonly weightsDir: string;
  readonly examine: Examine;
  readonly acquireLock: AcquireClaimLock;
}

export interface MarkerOwner {
  readonly record: OwnerRecord | null;
  readonly examined: Examined;
  /** Null: it is dead. */
  readonly busy: Busy | null;
  /** That of a sibling configuration, to be released. */
  readonly otherLock: KernelLock | null;
  /** The record does not lie beside the marker. */
  readonly onlyElsewhere: boolean;
}

/**
 * Judges the marker that stands in the way. A marker of trainlock may belong to a sibling configuration (another stage
 * with the same weights dir): then that one's kernel lock is what tells, and is held while its marker is changed.
 */
export async function markerOwner(
  { kernel, layout, configuration, weightsDir, examine, acquireLock }: MarkerContext,
  marker: MarkerFacts,
): Promise<MarkerOwner> {
  const { record, beside, problem } = recordOfMarker(weightsDir, marker, () => kernel.records());
  const owner = record === null ? null : configurationOf(record);
  const ownerPath = owner === null ? kernel.path : layout.kernelLockPath(owner);
  const otherLock = ownerPath === kernel.path ? null : await acquireLock(ownerPath);
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
  return { record, examined, busy, otherLock: otherLock === "busy" ? null : otherLock, onlyElsewhere: !beside };
}

export function busyMarker(
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
