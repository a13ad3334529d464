import { largestRecordBytes, type RecordReading } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { freshFlag } from "../../system/files/fresh-read.ts";
import { type FileReading, readRegularFile } from "../../system/files/read-regular-file.ts";
import { ownerOf } from "../../system/files/shared-permissions.ts";
import { asSystemError } from "../../system/libc/errno.ts";

/** The owner record in a lock file as the server has it now; `none` also where the file is not there or cannot be read. */
export function readLockRecord(path: string): RecordReading {
  return recordIn(readLockFile(path));
}

/** The same for a claim that counts on from it. Throws an EnvironmentError where the file system keeps it from us. */
export function requireLockRecord(path: string): RecordReading {
  const file = readLockFile(path);
  if (file.kind === "failed") throw asSystemError("read the owner record", path, file.error, ownerOf(path));
  return recordIn(file);
}

export function readLockFile(path: string): FileReading {
  return readRegularFile(path, largestRecordBytes, freshFlag(path));
}

function recordIn(file: FileReading): RecordReading {
  return file.kind === "file" ? parseOwnerRecord(file.bytes) : { kind: "none" };
}
