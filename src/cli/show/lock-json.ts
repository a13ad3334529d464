import type { LockReport } from "../../operations/lock-report.ts";

/** One lock in the JSON that scripts read; the names are a contract. */
export function lockJson(lock: LockReport) {
  return {
    kind: lock.kind,
    name: lock.name,
    status: lock.verdict.status,
    label: lock.verdict.label,
    pid: lock.pid,
    started: lock.startedAt,
    path: lock.path,
    holder: lock.holder,
    evidence: lock.evidence.map(({ source, says, detail }) => ({ source, says, detail })),
  };
}
