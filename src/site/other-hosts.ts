import { largestRecordBytes, type OwnerRecord, recordIn } from "../model/owner-record.ts";
import { parseOwnerRecord } from "../model/parse-owner-record.ts";
import { printable } from "../model/printable.ts";
import { bootedAtMs } from "../system/clock/boot-clock.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { markerRecordPath } from "./layout.ts";

/**
 * Why a local file system is not this host's alone: a record there is of another kernel, and was written while this one ran. So
 * that host reaches the folder by some server here (sftp, Samba, NFS, a virtual machine's host). Null: nothing tells so.
 */
export function whyOthersWrite(record: OwnerRecord | null, writtenAtMs: number | null): string | null {
  const section = record?.trainlock ?? null;
  const host = thisHost();
  const bootedAt = bootedAtMs();
  if (record === null || section === null || section.bootId === null || host.bootId === null) return null;
  if (section.bootId === host.bootId || writtenAtMs === null || bootedAt === null) return null;
  // An earlier boot of this host: its clock may have been ahead.
  const isOurMachine = section.machineId === null || host.machineId === null || section.machineId === host.machineId;
  if (record.hostname === host.hostname && isOurMachine) return null;
  if (writtenAtMs <= bootedAt) return null;
  const who = record.hostname === null ? "another host" : printable(record.hostname);
  return `${who} has written there since this host booted, so that others reach it, too`;
}

/** The same by the record that lies in a weights dir, whatever claim it is of. */
export function whyOthersWriteIn(weightsDir: string): string | null {
  const file = readRegularFile(markerRecordPath(weightsDir), largestRecordBytes);
  if (file.kind !== "file") return null;
  return whyOthersWrite(recordIn(parseOwnerRecord(file.bytes)), Number(file.stats.mtimeNs / 1_000_000n));
}
