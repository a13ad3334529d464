import { type Evidence, livingIn } from "../model/evidence.ts";
import type { Holder } from "../model/holder.ts";
import { type OwnerRecord, spelledJobId } from "../model/owner-record.ts";

/** What is known of a holder from its record, or from a bare PID, and which process was found to live in its place. */
export function holderFrom(
  record: OwnerRecord | null,
  pid: number | null,
  evidence: readonly Evidence[] = [],
): Holder | null {
  if (record === null && pid === null) return null;
  return {
    pid: record?.pid ?? pid,
    hostname: record?.hostname ?? null,
    user: record?.user ?? null,
    jobId: record === null ? null : spelledJobId(record),
    acquiredAt: record?.acquiredAt ?? null,
    generation: record?.trainlock?.generation ?? null,
    living: livingIn(evidence),
    command: told(record?.trainlock?.command ?? null),
  };
}

function told(command: readonly string[] | null): readonly string[] | null {
  return command === null || command.length === 0 ? null : command;
}

export const nobodyKnown: Holder = {
  pid: null,
  hostname: null,
  user: null,
  jobId: null,
  acquiredAt: null,
  generation: null,
  command: null,
  living: null,
};
