import { lstatSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import type { OwnerRecord } from "../model/owner-record.ts";
import { serializeOwnerRecord } from "../model/serialize-owner-record.ts";
import { kernelLockStem, type Layout, markerPath, markerRecordPath } from "../site/layout.ts";
import { discard } from "../stores/folder/temporary-file.ts";
import { holdsItsLock, isAncestor, isOver, unreleasedRecord } from "../stores/nested/surrounding-claim.ts";
import { launchFrom } from "../stores/ranks/launch.ts";
import { makeHeldFolder } from "../system/files/open-beneath.ts";
import { flockHolderPids } from "../system/processes/flock-holders.ts";
import { ancestorsOf } from "../system/processes/process-tree.ts";
import type { Answer } from "./answer.ts";

/** A program inside a program inside a run is a level deeper; nobody nests deeper than this on purpose. */
const mostLevels = 16;
const suffix = ".inner";

/** What the calling program says of a lock file that it was asked to lock. */
export type AskForLock = (path: string) => "locked" | "busy";

/**
 * The claim around the calling program. It was made by `trainlock run`, or by a program with a lock of its own, that has
 * started this program for the same configuration. Only one such program trains under the claim at a time, and each rank of a
 * launch once. Null: there is no such claim.
 */
export async function claimAround(layout: Layout, configuration: Configuration): Promise<OwnerRecord | null> {
  const token = process.env.TRAINLOCK_TOKEN ?? "";
  if (!/^[0-9a-f]{32}$/.test(token)) return null;
  const record = await unreleasedRecord(layout, configuration);
  if (record === null || record.trainlock?.token !== token || record.trainlock.generation === null) return null;
  // The variables alone prove nothing: jobs that a training submits inherit them.
  const caller = process.ppid;
  if (!isAncestor(record, caller) && !holdsItsLock(layout, configuration, caller)) return null;
  return (await isOver(layout, configuration, record)) ? null : record;
}

/** Asks the caller for the inner lock of its level. */
export function joinClaim(
  layout: Layout,
  configuration: Configuration,
  around: OwnerRecord,
  askForLock: AskForLock,
): Answer {
  const lockPath = layout.kernelLockPath(configuration);
  const weightsDir = layout.weightsDir(configuration);
  const token = around.trainlock?.token ?? "";
  const launch = launchFrom(process.env);
  const branch = launch === null || (launch.size ?? 1) < 2 ? token : `${token}.rank${launch.rank}`;
  const stem = join(dirname(lockPath), `${kernelLockStem(lockPath)}.`);
  makeHeldFolder(dirname(lockPath)).close();
  const own = ancestorsOf(process.ppid);
  let path = "";
  for (let level = 1; level <= mostLevels; level += 1) {
    path = `${stem}${branch}.${level}${suffix}`;
    if (isHeldAbove(path, own)) continue;
    if (askForLock(path) === "busy") break;
    removeEarlier(stem, token);
    return {
      say: "inside",
      inner_file: path,
      record: serializeOwnerRecord(around).toString("utf8"),
      record_file: lockPath,
      record_beside: markerRecordPath(weightsDir),
      weights_dir: weightsDir,
      generation: around.trainlock?.generation ?? 0,
      marker: markerPath(weightsDir),
      marker_inode: "0",
      in_store: layout.store !== null,
      excludes_all_hosts: true,
    };
  }
  const evidence = [
    { source: "kernel-lock", says: "alive", detail: "another program under the same claim is not over" },
  ];
  const { pid, hostname, user, acquiredAt, jobId } = around;
  const holder = { pid, hostname, user, jobId, acquiredAt, generation: around.trainlock?.generation ?? null };
  return { say: "busy", holder, status: "active", label: "ACTIVE", path, wait_file: path, kernel_lock: true, evidence };
}

/**
 * Whether the caller was started to train under whoever holds this inner lock: by an inner run, or by `lock.run`. Then that one's
 * end is nothing to wait for. A worker that a program has started otherwise is a second process.
 */
function isHeldAbove(path: string, own: ReadonlySet<number>): boolean {
  const starter = Number(process.env.TRAINLOCK_PID);
  if (starter === process.ppid || !own.has(starter)) return false;
  const stats = lstatSync(path, { bigint: true, throwIfNoEntry: false });
  return stats !== undefined && flockHolderPids(path, stats).includes(starter);
}

/** Those of earlier claims of this configuration: the one that holds it now is around us. */
function removeEarlier(stem: string, token: string): void {
  const [folder, name] = [dirname(stem), basename(stem)];
  for (const found of readdirSync(folder)) {
    const claim = found.startsWith(name)
      ? /^([0-9a-f]{32})\.(?:rank\d+\.)?\d+\.inner$/.exec(found.slice(name.length))?.[1]
      : undefined;
    if (claim !== undefined && claim !== token) discard(join(folder, found));
  }
}
