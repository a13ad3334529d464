import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { LockFacts } from "../model/lock-facts.ts";
import { markerRecordPath } from "../site/layout.ts";

/** A clock that is set by hand, or a file server's, is off by less than this. */
const clockMarginMs = 3_600_000;

/** When a lock's record was written, milliseconds since the epoch by the file server's clock; null: nobody knows. */
export function recordWrittenAtMs({ kind, path }: Pick<LockFacts, "kind" | "path">): number | null {
  if (kind === "etcd") return null;
  const file = kind === "file" ? markerRecordPath(dirname(path)) : path;
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? null;
}

/**
 * Whether a record was certainly written before a host booted. Hosts that were copied from one image have one name and one
 * machine id, so that another boot id alone does not tell a reboot from another host.
 */
export function isFromBeforeBoot(writtenAtMs: number | null, bootedAtMs: number | null): boolean {
  return writtenAtMs !== null && bootedAtMs !== null && writtenAtMs + clockMarginMs < bootedAtMs;
}
