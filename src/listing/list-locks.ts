import { EnvironmentError, TrainlockError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import type { LockFacts, LockKind } from "../model/lock-facts.ts";
import { type Layout, markerName } from "../site/layout.ts";
import { type OnUnreadable, type WalkEvents, weightsFoldersHolding } from "../site/weights-folders.ts";
import { openRemoteLocks } from "../stores/open-remote-locks.ts";
import { kernelLockFacts, recordedKernelLockFacts } from "./kernel-lock-facts.ts";
import { type LockReport, reportOf } from "./lock-report.ts";
import { markerFacts } from "./marker-facts.ts";

export interface ListRequest {
  readonly layout: Layout;
  /** Which kinds: markers (`file`), kernel locks (`fcntl`), keys of the remote store (`etcd`). */
  readonly kinds: readonly LockKind[];
  /** False: nothing is asked, every lock is `unverified`. */
  readonly verify: boolean;
  readonly examine: Examine;
  readonly onUnreadable: OnUnreadable;
  /** Called for a link that is not followed. What is behind it is not listed. */
  readonly onLink?: WalkEvents["onLink"];
  /** Called with the store's address where it does not answer: its locks are missing then. Absent: that is thrown. */
  readonly onStoreFault?: (address: string, error: EnvironmentError) => void;
}

/** Every lock of a site with its verdict; markers, kernel locks, keys, each by name. Changes nothing. */
export async function listLocks(request: ListRequest): Promise<LockReport[]> {
  const { layout, kinds, verify, examine, onUnreadable, onLink = () => undefined } = request;
  const found: LockFacts[] = [];
  if (kinds.includes("file")) {
    for (const folder of await weightsFoldersHolding(layout, markerName, { onUnreadable, onLink })) {
      const facts = await readableMarkerFacts(layout, folder, verify, onUnreadable);
      if (facts !== null) found.push(facts);
    }
  }
  if (kinds.includes("fcntl")) {
    found.push(
      ...(verify ? await kernelLockFacts(layout, onUnreadable) : recordedKernelLockFacts(layout, onUnreadable)),
    );
  }
  if (kinds.includes("etcd")) found.push(...(await remoteFacts(request)));
  const reports = await Promise.all(found.map(async (facts) => (verify ? judged(facts, examine) : unverified(facts))));
  return reports.sort((a, b) => byKind(a.kind) - byKind(b.kind) || compare(a.name, b.name) || compare(a.path, b.path));
}

async function remoteFacts({ layout, onStoreFault }: ListRequest): Promise<LockFacts[]> {
  try {
    return (await (await openRemoteLocks(layout))?.all()) ?? [];
  } catch (error) {
    if (onStoreFault === undefined || !(error instanceof EnvironmentError)) throw error;
    onStoreFault(layout.store?.address ?? "", error);
    return [];
  }
}

async function readableMarkerFacts(
  layout: Layout,
  folder: string,
  verify: boolean,
  onUnreadable: OnUnreadable,
): Promise<LockFacts | null> {
  try {
    return await markerFacts(layout, folder, verify);
  } catch (error) {
    if (!(error instanceof TrainlockError)) throw error;
    onUnreadable(folder, error.code);
    return null;
  }
}

/** The lock with the verdict on it. */
export async function judged(facts: LockFacts, examine: Examine): Promise<LockReport> {
  const { verdict, evidence } = await examine(facts);
  return reportOf(facts, verdict, evidence);
}

function unverified(facts: LockFacts): LockReport {
  return reportOf(facts, { status: "unverified", label: "UNVERIFIED" }, []);
}

function byKind(kind: LockKind): number {
  return { file: 0, fcntl: 1, etcd: 2 }[kind];
}

/** Compares by code units: the same on every host, whatever its locale. */
function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
