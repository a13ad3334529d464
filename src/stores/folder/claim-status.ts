import type { BigIntStats } from "node:fs";
import type { ClaimStatus } from "../../model/claim-status.ts";
import type { Configuration } from "../../model/configuration.ts";
import { messageOf } from "../../model/errors.ts";
import { inodeNumber } from "../../model/inode.ts";
import { belongsToAnother, type OwnerRecord, type RecordReading, recordIn } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { sleep, withJitter } from "../../system/clock/sleep.ts";
import { errnoOf } from "../../system/libc/errno.ts";
import { isReleased } from "../claim-record.ts";
import { holderFrom } from "../record-holder.ts";
import { readLockFile } from "./lock-file.ts";
import { findLockHolder, outOfReach, ownerRunsHere } from "./lock-holder.ts";
import { describesMarker, readMarker, requireMarkerRecord } from "./read-marker.ts";

/** A claim as others know it, who are not the process that made it. */
export interface NamedClaim {
  readonly lockPath: string;
  readonly weightsDir: string;
  /** Null: whoever's, if the generation is the one asked for. */
  readonly token: string | null;
  readonly generation: number;
  /** Null: the token says it all. Else another configuration whose names come out the same is another claim. */
  readonly configuration: Configuration | null;
}

/** If another tool takes a holder's files away, the kernel notifies the holder, and it has healed them by then. */
const healPatienceMs = 300;

/** `final`: no holder mends that, so there is nothing to wait for. */
type Look = ClaimStatus & { readonly final?: true };

/**
 * Whether a claim of the file store is held: by the records, by the kernel lock on the very file they speak of, and by the
 * marker. Held is said on proof alone; a fault of the file system, or a kernel lock that this host cannot see, is null.
 */
export async function claimStatusOf(claim: NamedClaim, unseenFrom = outOfReach): Promise<ClaimStatus> {
  const giveUpAt = performance.now() + healPatienceMs;
  for (;;) {
    const { final, ...status } = await lookAt(claim, unseenFrom).catch((error: unknown): Look => {
      if (errnoOf(error) === undefined) throw error;
      return answer(null, messageOf(error), null);
    });
    if (status.held === true || final || performance.now() >= giveUpAt) return status;
    await sleep(withJitter(20));
  }
}

async function lookAt(claim: NamedClaim, unseenFrom: typeof outOfReach): Promise<Look> {
  const { lockPath, weightsDir } = claim;
  const file = readLockFile(lockPath);
  const beside = requireMarkerRecord(weightsDir);
  const over = endOf(beside, claim);
  if (over !== null) return over;
  const alone = recordIn(beside);
  if (alone?.trainlock?.lockInode === 0n) return lookAtMarkerAlone(claim, alone);
  if (file.kind === "absent") return answer(false, `its lock file ${lockPath} was removed`, recordIn(beside));
  if (file.kind === "unreadable") return answer(false, `its lock file ${lockPath} is ${file.why}`, recordIn(beside));
  if (file.kind === "failed") return answer(null, `its lock file ${lockPath} is ${file.why}`, recordIn(beside));
  const written = parseOwnerRecord(file.bytes);
  const signedOff = endOf(written, claim);
  if (signedOff !== null) return signedOff;
  // Contenders of other tools empty the lock file; the record beside the marker has the same to say.
  const record = recordIn(written) ?? recordIn(beside);
  if (record === null) return answer(null, `no record says whose ${lockPath} is`, null);
  // Its holder mends it.
  if (record.trainlock?.generation === null)
    return answer(null, `the generation in ${lockPath} cannot be read`, record);
  if (!isClaim(record, claim)) return answer(false, "another has it", record);
  return lookAtLocks(claim, record, file.stats, written.kind === "record", unseenFrom(lockPath, record));
}

async function lookAtLocks(
  { lockPath, weightsDir }: NamedClaim,
  record: OwnerRecord,
  file: BigIntStats,
  isWritten: boolean,
  unseen: string | null,
): Promise<Look> {
  const isFirst = record.trainlock?.lockInode === inodeNumber(file.ino);
  const replaced = () => answer(false, `its lock file ${lockPath} was replaced by another`, record);
  // A file that the holder made again and wrote into counts only where the holder is seen to lock it.
  if (!isFirst && !isWritten) return replaced();
  if (unseen === null) {
    const holder = await findLockHolder(lockPath, file, record);
    if (!isFirst && holder.by !== "owner") return replaced();
    if (holder.by === "changed") return answer(false, `its lock file ${lockPath} was replaced by another`, record);
    if (holder.by === "nobody") return answer(false, "nobody holds its kernel lock any more", record);
    if (holder.by === "unknown") return answer(null, `its kernel lock cannot be tested: ${holder.why}`, record);
    if (holder.by === "somebody" && !isWritten)
      return answer(null, `somebody has emptied ${lockPath}, and it is locked, perhaps by another`, record);
  }
  const fault = markerFault(weightsDir, record);
  if (fault !== null) return fault;
  if (unseen === null) return answer(true, "its kernel lock and its marker are held", record);
  // Records and marker stay behind when a holder dies: they disprove a claim, and do not prove one.
  const where = record.hostname ?? "another host";
  return answer(null, `the kernel lock of ${where} cannot be seen from this host (${unseen})`, record);
}

/** A claim that has no kernel lock: its owner has to be seen. */
function lookAtMarkerAlone(claim: NamedClaim, record: OwnerRecord): Look {
  if (!isClaim(record, claim)) return answer(false, "another has it", record);
  const fault = markerFault(claim.weightsDir, record);
  if (fault !== null) return fault;
  if (ownerRunsHere(record)) return answer(true, "its marker is held, and its owner runs", record);
  return answer(null, "it has no kernel lock, and its owner is not seen on this host", record);
}

/** Null: the marker is the one that the record describes. */
function markerFault(weightsDir: string, record: OwnerRecord): Look | null {
  const marker = readMarker(weightsDir);
  if (marker === null) return answer(false, `its marker in ${weightsDir} was removed`, record);
  if (describesMarker(record, marker)) return null;
  const whose = marker.pid === null ? "" : ` (PID ${marker.pid})`;
  return answer(false, `the marker in ${weightsDir} is another's${whose}`, null);
}

/** What no holder takes back: it has released its lock, or a later claim has been made. */
function endOf(reading: RecordReading, claim: NamedClaim): Look | null {
  const section = reading.kind === "record" ? reading.record.trainlock : null;
  if (reading.kind !== "record" || section === null) return null;
  const { record } = reading;
  if (section.generation !== null && section.generation > claim.generation) {
    const what = `generation ${section.generation} came after it`;
    return { ...answer(false, isReleased(record) ? `${what}, and is over` : what, record), final: true };
  }
  if (!isClaim(record, claim) || !isReleased(record)) return null;
  return { ...answer(false, `it was released at ${section.releasedAt}`, record), final: true };
}

function isClaim(record: OwnerRecord, { token, generation, configuration }: NamedClaim): boolean {
  const { trainlock } = record;
  if (trainlock === null || trainlock.token === null || trainlock.generation !== generation) return false;
  if (configuration !== null && belongsToAnother(record, configuration)) return false;
  return token === null || trainlock.token === token;
}

function answer(held: boolean | null, why: string, record: OwnerRecord | null): Look {
  return { held, generation: record?.trainlock?.generation ?? null, why, holder: holderFrom(record, null) };
}
