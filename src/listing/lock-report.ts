import type { Evidence, Verdict } from "../model/evidence.ts";
import type { Holder } from "../model/holder.ts";
import type { LockFacts, LockKind } from "../model/lock-facts.ts";
import { holderFrom, nobodyKnown } from "../stores/claim-record.ts";

/** One lock as lists show it. Strings are as found on disk: escape before showing. */
export interface LockReport {
  readonly kind: LockKind;
  readonly name: string;
  readonly verdict: Verdict;
  readonly pid: number | null;
  readonly startedAt: string | null;
  readonly path: string;
  readonly holder: Holder | null;
  readonly evidence: readonly Evidence[];
}

export function reportOf(facts: LockFacts, verdict: Verdict, evidence: readonly Evidence[]): LockReport {
  return {
    kind: facts.kind,
    name: facts.name,
    verdict,
    pid: facts.pid,
    startedAt: facts.startedAt,
    path: facts.path,
    holder: holderOf(facts, evidence),
    evidence,
  };
}

/** Of a bare PID nothing else is written, but it may have been found running. */
function holderOf({ kind, record, pid }: LockFacts, evidence: readonly Evidence[]): Holder | null {
  if (record !== null || kind === "fcntl") return holderFrom(record, pid, evidence);
  const where = evidence.flatMap((item) => (item.says === "alive" && item.where ? [item.where] : []))[0];
  return where === undefined ? null : { ...nobodyKnown, pid, hostname: where.host, jobId: where.jobId };
}
