import { isGeneration } from "./generation.ts";
import { isNewer, largestRecordBytes, type RecordReading, type UnknownSection } from "./owner-record.ts";
import { ownerRecord } from "./owner-record-fields.ts";
import { wrong } from "./record-fields.ts";

/** A claim reads the same record several times: in its lock file, beside its marker, before a change and after it. */
let last: { readonly json: string; readonly reading: RecordReading } | undefined;

/** Reads what a lock file or marker record holds. Never throws, whatever the bytes are. */
export function parseOwnerRecord(bytes: Uint8Array): RecordReading {
  if (bytes.length > largestRecordBytes) return { kind: "unreadable", reason: `more than ${largestRecordBytes} bytes` };
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  if (last?.json !== json) last = { json, reading: readingOf(json) };
  return last.reading;
}

function readingOf(json: string): RecordReading {
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
  const section = sectionOf(parsed as Readonly<Record<string, unknown>>);
  if (section !== undefined) {
    const reason = `written by a newer trainlock (format ${section.format})`;
    const reading: RecordReading = { kind: "unreadable", reason, section };
    if (isNewer(reading)) return reading;
  }
  const record = ownerRecord.read(parsed);
  if (record === wrong) return { kind: "unreadable", reason: "JSON, but no owner record" };
  if (section !== undefined && record.trainlock === null) {
    return { kind: "unreadable", reason: "its trainlock section is not readable", section };
  }
  return { kind: "record", record };
}

/** The little that every format has in common. */
function sectionOf(document: Readonly<Record<string, unknown>>): UnknownSection | undefined {
  if (!Object.hasOwn(document, "trainlock")) return undefined;
  const own: unknown = document.trainlock;
  const section = typeof own === "object" && own !== null && !Array.isArray(own) ? own : {};
  const { format, generation, released_at: released } = section as Readonly<Record<string, unknown>>;
  return {
    format: typeof format === "number" ? format : null,
    generation: isGeneration(generation) ? generation : null,
    isReleased: released === null ? false : typeof released === "string" && released !== "" ? true : null,
    document,
  };
}
