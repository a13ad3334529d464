import type { Evidence } from "../model/evidence.ts";
import type { Holder } from "../model/holder.ts";
import type { LockKind } from "../model/lock-facts.ts";
import type { LockReport } from "./lock-report.ts";

/** One lock as scripts and the library's callers get it; the names are a contract. */
export interface LockJson {
  readonly kind: LockKind;
  readonly name: string;
  readonly status: "active" | "stale" | "unknown" | "unverified";
  readonly label: string;
  readonly pid: number | null;
  /** Local ISO time. */
  readonly started: string | null;
  /** Escaped where it is no UTF-8. */
  readonly path: string;
  /** Then its bytes, in base64. */
  readonly pathBytes?: string;
  readonly holder: Holder | null;
  readonly evidence: readonly Pick<Evidence, "source" | "says" | "detail">[];
}

export function lockJson(lock: LockReport): LockJson {
  return {
    kind: lock.kind,
    name: lock.name,
    status: lock.verdict.status,
    label: lock.verdict.label,
    pid: lock.pid,
    started: lock.startedAt,
    path: lock.path,
    ...(lock.pathBytes === null ? {} : { pathBytes: lock.pathBytes.toString("base64") }),
    holder: lock.holder,
    evidence: lock.evidence.map(({ source, says, detail }) => ({ source, says, detail })),
  };
}
