import * as v from "valibot";
import { largestRecordBytes, type RecordReading, recordFormat } from "./owner-record.ts";
import { ownerRecord } from "./owner-record-fields.ts";

/** Reads what a lock file or marker record holds. Never throws, whatever the bytes are. */
export function parseOwnerRecord(bytes: Uint8Array): RecordReading {
  if (bytes.length > largestRecordBytes) return { kind: "unreadable", reason: `more than ${largestRecordBytes} bytes` };
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  if (json.trim() === "") return { kind: "none" };
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return { kind: "unreadable", reason: "not JSON" };
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    return { kind: "unreadable", reason: "JSON, but no owner record" };
  }
  const result = v.safeParse(ownerRecord.read, parsed);
  if (!result.success) return { kind: "unreadable", reason: "JSON, but no owner record" };
  const record = result.output;
  if ("trainlock" in parsed && record.trainlock === null) {
    return { kind: "unreadable", reason: "its trainlock section is not readable" };
  }
  if (record.trainlock !== null && record.trainlock.format > recordFormat) {
    return { kind: "unreadable", reason: `written by a newer trainlock (format ${record.trainlock.format})` };
  }
  return { kind: "record", record };
}
