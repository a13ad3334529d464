import { lstatSync } from "node:fs";
import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import type { Layout } from "../site/layout.ts";
import { requireOwnFolder } from "../site/shared-folder.ts";
import { refuseCollision } from "../stores/claim-record.ts";
import { repairHint, requireClaimable } from "../stores/folder/claimable.ts";
import { openRemoteLocks } from "../stores/open-remote-locks.ts";
import { nobodyKnown } from "../stores/record-holder.ts";
import type { Busy } from "../stores/store.ts";
import { requireWithin } from "../system/files/within.ts";
import { kernelLockFactsOf } from "./kernel-lock-facts.ts";
import { judged } from "./list-locks.ts";
import type { LockReport } from "./lock-report.ts";
import { markerFacts } from "./marker-facts.ts";

export interface CheckResult {
  readonly name: string;
  readonly weightsDir: string;
  /** The lock that keeps this configuration from being trained, the surest first; null: it is free. */
  readonly lockedBy: LockReport | null;
  /** What lies there and keeps nobody away. */
  readonly stale: readonly LockReport[];
  /** The locks of each kind, where there are any. */
  readonly locks: readonly LockReport[];
}

/**
 * Whether a configuration may be trained now, by every kind of lock. Changes nothing. Throws an EnvironmentError
 * when the lock cannot be asked, or when another configuration has the same lock name.
 */
export async function checkConfiguration(
  layout: Layout,
  configuration: Configuration,
  examine: Examine,
): Promise<CheckResult> {
  const locks = await locksOf(layout, configuration, examine);
  const weightsDir = layout.weightsDir(configuration);
  const lockedBy = surest(locks);
  // What is not locked, and what nobody may claim all the same, is not free.
  if (lockedBy === null) requireClaimable(layout, configuration);
  return {
    name: layout.displayName(configuration),
    weightsDir,
    lockedBy,
    stale: locks.filter(({ verdict }) => verdict.status === "stale"),
    locks,
  };
}

/** The locks of one configuration, of every kind, each with its verdict. Throws as {@link checkConfiguration} does. */
export async function locksOf(layout: Layout, configuration: Configuration, examine: Examine): Promise<LockReport[]> {
  const remote = await openRemoteLocks(layout);
  const found = await Promise.all([filesOf(layout, configuration), remote?.of(configuration) ?? null]);
  return judgeLocks(found.flat(), configuration, examine);
}

/** Who has a configuration by the files alone; null: nobody. Throws as {@link checkConfiguration} does. */
export async function lookAtFiles(
  layout: Layout,
  configuration: Configuration,
  examine: Examine,
): Promise<Busy | null> {
  const lock = surest(await judgeLocks(await filesOf(layout, configuration), configuration, examine));
  return lock && { ...lock, holder: lock.holder ?? nobodyKnown };
}

async function filesOf(layout: Layout, configuration: Configuration): Promise<(LockFacts | null)[]> {
  const weightsDir = layout.weightsDir(configuration);
  requireWithin(layout, weightsDir);
  await requireOwnFolder(layout, weightsDir);
  const lockPath = layout.kernelLockPath(configuration);
  const [kernelLock, marker] = await Promise.all([
    kernelLockFactsOf(layout, lockPath, weightsDir),
    markerFacts(layout, weightsDir, true, lockPath),
  ]);
  if (kernelLock?.kernelLock.state === "unknown") {
    // A file system that keeps no locks must not look like one that keeps this lock for somebody.
    throw new EnvironmentError(`it is not known whether ${kernelLock.path} is locked: ${kernelLock.kernelLock.why}`, {
      code: "ERR_LOCK_UNREADABLE",
      hint: isInTheWay(lockPath) ? repairHint : "check owner and mode of the file and its folder, and the mount",
    });
  }
  return [kernelLock, marker];
}

/** Whether something else stands where the lock file belongs. Where nobody may look, nobody can say so. */
function isInTheWay(lockPath: string): boolean {
  try {
    return lstatSync(lockPath, { throwIfNoEntry: false })?.isFile() === false;
  } catch {
    return false;
  }
}

function judgeLocks(
  found: readonly (LockFacts | null)[],
  configuration: Configuration,
  examine: Examine,
): Promise<LockReport[]> {
  return Promise.all(
    found
      .filter((facts) => facts !== null)
      .map(async (facts) => {
        const lock = await judged(facts, examine);
        const isInTheWay = lock.verdict.status !== "stale";
        // A marker may be that of a sibling with the same folder; a lock of this name is this configuration's or nobody's.
        if (isInTheWay && facts.kind !== "file" && facts.record)
          refuseCollision(facts.record, configuration, facts.path);
        return lock;
      }),
  );
}

/** The lock that keeps others away, an active one first; null: none does. */
function surest(locks: readonly LockReport[]): LockReport | null {
  const active = locks.find(({ verdict }) => verdict.status === "active");
  return active ?? locks.find(({ verdict }) => verdict.status === "unknown") ?? null;
}
