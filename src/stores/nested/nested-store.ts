import { type Configuration, describeConfiguration } from "../../model/configuration.ts";
import { LockLostError, UsageError } from "../../model/errors.ts";
import { type OwnerRecord, recordIn, sameConfiguration } from "../../model/owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { sleep, sleepUnlessAborted, withJitter } from "../../system/clock/sleep.ts";
import { ancestorsOf } from "../../system/processes/process-tree.ts";
import { isReleased } from "../claim-record.ts";
import { noEarlierRuns } from "../earlier-runs.ts";
import { steadyCheckMs } from "../folder/check-schedule.ts";
import { readMarkerRecord } from "../folder/read-marker.ts";
import { leaseTimes } from "../lease/lease-times.ts";
import type { Acquisition, Busy, HeldLock, LockStore, Wait } from "../store.ts";
import { type InnerLock, rankAbove, takeInnerLock } from "./inner-lock.ts";
import {
  holdsItsLock,
  isAncestor,
  isOver,
  isWhereItWasMade,
  statusAround,
  unreleasedRecord,
} from "./surrounding-claim.ts";

const pollMs = 500;

export interface Nesting {
  readonly layout: Layout;
  /** TRAINLOCK_TOKEN as this process was started with it; null: it was not, or with nothing usable. */
  readonly token: string | null;
  readonly checkEveryMs?: number | undefined;
  readonly onNote: (text: string) => void;
}

/**
 * A store as it is inside of a run. A run of the same configuration inside the run that holds it is under that one's claim: it
 * writes no record, and there is one at a time. What only looks as if it were inside is refused, because nobody can wait for
 * the end of what waits for itself.
 */
export function nestedStore(store: LockStore, nesting: Nesting): LockStore {
  const acquire: LockStore["acquire"] = async (configuration, command, token) => {
    const outer = await outerClaim(nesting, configuration);
    if (outer !== null) return acquireInside(nesting, configuration, outer, () => acquire(configuration, command));
    const acquisition = await store.acquire(configuration, command, token);
    if (acquisition.kind === "busy" && mayBeAncestor(acquisition.busy)) await refuseOwnAncestor(nesting, configuration);
    return acquisition;
  };
  return { acquire };
}

/** The claim that this process is inside of; null: it is inside of none. */
async function outerClaim({ layout, token }: Nesting, configuration: Configuration): Promise<OwnerRecord | null> {
  if (token === null) return null;
  const record = await unreleasedRecord(layout, configuration);
  if (record === null || record.trainlock?.token !== token) return null;
  const isInside =
    isAncestor(record) ||
    holdsItsLock(layout, configuration) ||
    rankAbove(layout.kernelLockPath(configuration), token) !== null;
  // In another job, or on another host, the variables were only inherited.
  if (!isInside && !isWhereItWasMade(record)) return null;
  if (await isOver(layout, configuration, record)) return null;
  if (isInside) return record;
  throw insideItself(
    record,
    "its wrapper cannot be seen from here (another container, a job step, a daemon)",
    "in a part of that training run the command without `trainlock run`; in a shell that only has its variables, `unset TRAINLOCK_TOKEN`",
  );
}

async function acquireInside(
  nesting: Nesting,
  configuration: Configuration,
  outer: OwnerRecord,
  again: () => Promise<Acquisition>,
): Promise<Acquisition> {
  const { layout, onNote } = nesting;
  const token = outer.trainlock?.token ?? "";
  const lockPath = layout.kernelLockPath(configuration);
  const taken = await takeInnerLock(lockPath, token, layout.site.lockPrimitive);
  if ("verdict" in taken) return { kind: "busy", busy: taken, wait: waitInside(again) };
  onNote(`inside the run of PID ${outer.pid} that holds this configuration: the command runs under its lock`);
  return { kind: "held", lock: innerLock(nesting, configuration, outer, taken) };
}

/** The claim around it may be over by then. The next attempt finds that out. */
function waitInside(acquire: () => Promise<Acquisition>): Wait {
  return async (signal) => {
    await sleepUnlessAborted(withJitter(pollMs), signal);
    return signal.aborted ? null : { acquire, giveUp: () => undefined };
  };
}

function innerLock(
  { layout, checkEveryMs = steadyCheckMs }: Nesting,
  configuration: Configuration,
  outer: OwnerRecord,
  taken: InnerLock,
): HeldLock {
  const lost = new AbortController();
  const status = () => statusAround(layout, configuration, outer);
  const check = async () => {
    if (lost.signal.aborted || (await status()).held !== false) return;
    if (layout.store !== null) {
      // A key that was deleted is claimed again at its keeper's next renewal, if nobody else was quicker.
      await sleep(2 * leaseTimes(layout.store.ttlMs).renewEveryMs);
      if ((await status()).held !== false) return;
    }
    lost.abort(new LockLostError("the claim around this run is over"));
  };
  // A program that forgets to release its lock ends all the same.
  const checking = setInterval(() => void check(), checkEveryMs).unref();
  return {
    token: outer.trainlock?.token ?? "",
    generation: outer.trainlock?.generation ?? 0,
    address: process.env.TRAINLOCK_LOCK ?? layout.kernelLockPath(configuration),
    lost: lost.signal,
    isInner: true,
    descriptors: taken.descriptors,
    earlier: { ...noEarlierRuns, ends: outer.trainlock?.ends ?? noEarlierRuns.ends },
    recordChild: async () => undefined,
    recordTree: (processes) => taken.recordTree(processes),
    check,
    assertHeld: async () => {
      lost.signal.throwIfAborted();
      const { held, why } = await status();
      if (held === true) return;
      const error = new LockLostError(`whether the lock around this run is held: ${why}`);
      if (held === false && layout.store === null) lost.abort(error);
      throw error;
    },
    release: async () => {
      clearInterval(checking);
      taken.release();
    },
  };
}

/** By its PID alone: whether it is worth while to read the record once more. */
function mayBeAncestor({ holder: { pid } }: Busy): boolean {
  return pid !== null && ancestorsOf(process.ppid).has(pid);
}

/** The holder in the way must not be an ancestor of this process: an ancestor ends only after us. */
async function refuseOwnAncestor({ layout, token }: Nesting, configuration: Configuration): Promise<void> {
  const beside = recordIn(readMarkerRecord(layout.weightsDir(configuration)).reading);
  for (const record of [await unreleasedRecord(layout, configuration), beside]) {
    if (record === null || isReleased(record) || !isAncestor(record)) continue;
    const theirs = record.trainlock?.configuration ?? null;
    if (record.trainlock?.token !== token || theirs === null)
      throw insideItself(record, "TRAINLOCK_TOKEN was changed or removed on the way");
    const isSame = sameConfiguration(theirs, configuration);
    const why = isSame
      ? "its lock is kept in another place (is TRAINLOCK_STORE or --store another one here?)"
      : `it trains ${describeConfiguration(theirs)} in the same weights dir`;
    throw insideItself(record, why);
  }
}

const heldAlready = "run the command without `trainlock run` here: the lock is held for it already";

function insideItself({ pid, hostname, trainlock }: OwnerRecord, why: string, hint = heldAlready): UsageError {
  const where = `PID ${pid}${hostname === null ? "" : ` on ${hostname}`}, generation ${trainlock?.generation ?? 0}`;
  return new UsageError(`this is inside the run that holds it (${where}): ${why}`, {
    code: "ERR_INSIDE_ITSELF",
    hint,
  });
}
