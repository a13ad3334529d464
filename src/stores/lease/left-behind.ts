import type { EtcdAddress } from "../../etcd/address.ts";
import type { Entry } from "../../etcd/client.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import type { OwnerRecord } from "../../model/owner-record.ts";
import { isRecordedChild } from "../../model/recorded-child.ts";
import type { Layout } from "../../site/layout.ts";
import { hasEndedHere } from "../../system/processes/living-process.ts";
import { environmentOf, readProcess } from "../../system/processes/process-table.ts";
import { readTreeProcess, type TreeProcess } from "../../system/processes/process-tree.ts";
import { stopTree } from "../../system/processes/stop-tree.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { trainingProcesses } from "../../system/processes/training-processes.ts";
import { isReleased, withSection } from "../claim-record.ts";
import { keyIn, leaseFacts } from "./lease-facts.ts";

/**
 * The claim of a run whose wrapper and keeper are gone: its lease has ended, and its key with it, but its command or another
 * process of its tree goes on here. Null: the record of the last run names none. No other host can tell.
 */
export function leftBehind(address: EtcdAddress, layout: Layout, key: string, ends: Entry | null): LockFacts | null {
  if (ends === null) return null;
  const { record, leased, ...facts } = leaseFacts(address, layout, { ...ends, key });
  if (record === null || isReleased(record) || leftOf(record, facts.weightsDir).length === 0) return null;
  return { ...facts, record: withSection(record, { generation: null }) };
}

/** What goes on of a training on this host whose wrapper has ended. */
function leftOf(record: OwnerRecord, weightsDir: string | null): TreeProcess[] {
  const section = record.trainlock;
  if (section === null || !hasEndedHere(record)) return [];
  const { childPid } = section;
  const found = childPid === null ? null : readProcess(childPid);
  const isChild = found?.kind === "alive" && isRecordedChild(section, found.facts.startTimeTicks);
  const child = isChild && childPid !== null ? readTreeProcess(childPid) : null;
  const others = trainingProcesses(section, weightsDir ?? section.weightsDir).filter(({ pid }) => pid !== child?.pid);
  return child === null ? others : [child, ...others];
}

/**
 * Ends what goes on of such a claim, where all of it is this user's own and was started under that very key. Others write records
 * and notes, which may name any process: what a process was started with they cannot change. False: something lives on.
 */
export async function endLeftBehind({ record, weightsDir, path }: LockFacts, killAfterMs: number): Promise<boolean> {
  const { user, uid } = thisHost();
  const token = record?.trainlock?.token ?? null;
  if (record === null || token === null || record.user !== user) return false;
  const left = () => leftOf(record, weightsDir);
  const isOwn = ({ pid }: TreeProcess) => {
    const found = readProcess(pid);
    if (found.kind !== "alive") return true;
    const { TRAINLOCK_TOKEN: carried, TRAINLOCK_LOCK: lock = "" } = environmentOf(pid) ?? {};
    return found.facts.uid === uid && carried === token && keyIn(lock) === keyIn(path);
  };
  if (!left().every(isOwn)) return false;
  return (await stopTree(() => left().filter(isOwn), killAfterMs)).length === 0 && left().length === 0;
}
