import { statSync } from "node:fs";
import { dirname } from "node:path";
import type { LockFacts } from "../model/lock-facts.ts";
import { largestRecordBytes, recordIn } from "../model/owner-record.ts";
import { parseOwnerRecord } from "../model/parse-owner-record.ts";
import { markerRecordPath } from "../site/layout.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";

/** Clocks of hosts, of a scheduler and of a file server differ by less than this, also where one is set by hand. */
export const clockMarginSeconds = 3600;

/** When a lock's record was written, milliseconds since the epoch by the file server's clock; null: nobody knows. */
export function recordWrittenAtMs(facts: Pick<LockFacts, "kind" | "path" | "lockPath" | "record">): number | null {
  if (facts.kind === "etcd") return null;
  return statSync(recordFileOf(facts), { throwIfNoEntry: false })?.mtimeMs ?? null;
}

/**
 * The file that the record was read from. A crash may come between placing a marker and writing the record beside it: then the one
 * in the lock file describes it, and what lies beside it is an earlier claim's, and older.
 */
function recordFileOf({ kind, path, lockPath, record }: Parameters<typeof recordWrittenAtMs>[0]): string {
  if (kind !== "file") return path;
  const besidePath = markerRecordPath(dirname(path));
  const file = readRegularFile(besidePath, largestRecordBytes);
  const beside = file.kind === "file" ? recordIn(parseOwnerRecord(file.bytes)) : null;
  return beside?.trainlock?.token === record?.trainlock?.token ? besidePath : lockPath;
}

/**
 * Whether a record was certainly written before a host booted. Hosts that were copied from one image have the same name and
 * machine id. So a different boot id alone may be a reboot or another host.
 */
export function isFromBeforeBoot(writtenAtMs: number | null, bootedAtMs: number | null): boolean {
  return writtenAtMs !== null && bootedAtMs !== null && writtenAtMs + clockMarginSeconds * 1000 < bootedAtMs;
}
