import type { OwnerRecord } from "./owner-record.ts";
import { ownerRecord } from "./owner-record-fields.ts";

/** The JSON of a record: two spaces, newline. */
export function serializeOwnerRecord(record: OwnerRecord): Buffer {
  return Buffer.from(`${JSON.stringify(ownerRecord.write(record), null, 2)}\n`);
}
