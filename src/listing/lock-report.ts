import { type Evidence, livingIn, type Verdict } from "../model/evidence.ts";
import type { Holder } from "../model/holder.ts";
import type { LockFacts, LockKind } from "../model/lock-facts.ts";
import { kernelLockStem } from "../site/layout.ts";
import { holderFrom, nobodyKnown } from "../stores/record-holder.ts";
import { shownPath } from "../system/files/byte-names.ts";
import { listedUserName } from "../system/processes/this-host.ts";

/** One lock as lists show it. Strings are as found on disk: escape before showing. */
export interface LockReport {
  readonly kind: LockKind;
  readonly name: string;
  /** The name of its kernel lock, which all locks of one training have in common. */
  readonly training: string;
  readonly verdict: Verdict;
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly path: string;
  /** The path where it is no UTF-8, and `path` is escaped. */
  readonly pathBytes: Buffer | null;
  /** The path by which this process reaches it. */
  readonly place: string;
  /** Where its owner trains; null: not known. */
  readonly weightsDir: string | null;
  readonly holder: Holder | null;
  /** Who trains: as recorded, else the owner of the marker. */
  readonly user: string | null;
  readonly evidence: readonly Evidence[];
}

export function reportOf(facts: LockFacts, verdict: Verdict, evidence: readonly Evidence[]): LockReport {
  const holder = holderOf(facts, evidence);
  const shown = shownPath(facts.path);
  return {
    kind: facts.kind,
    name: facts.name,
    training: kernelLockStem(facts.lockPath),
    verdict,
    pid: facts.pid,
    startedAt: facts.startedAt,
    path: shown.text,
    pathBytes: shown.bytes,
    place: facts.path,
    weightsDir: facts.weightsDir,
    holder,
    user: holder?.user ?? (facts.marker === null ? null : listedUserName(facts.marker.uid)),
    evidence,
  };
}

/** A bare PID has no other facts, but its process may have been found running. */
function holderOf({ kind, record, pid }: LockFacts, evidence: readonly Evidence[]): Holder | null {
  if (record !== null || kind === "fcntl") return holderFrom(record, pid, evidence);
  const where = evidence.flatMap((item) => (item.says === "alive" && item.where ? [item.where] : []))[0];
  const living = livingIn(evidence);
  if (where === undefined && living === null) return null;
  return {
    ...nobodyKnown,
    pid,
    hostname: where?.host ?? living?.hostname ?? null,
    jobId: where?.jobId ?? null,
    living,
  };
}
