import { accessSync, constants, lstatSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import { LockLostError, type TrainlockError, UsageError } from "../model/errors.ts";
import type { Holder } from "../model/holder.ts";
import { withoutSecrets } from "../model/secrets.ts";
import { isOwnName, type Layout } from "../site/layout.ts";
import { localIso, nowMicroseconds } from "../system/clock/local-time.ts";
import { contains } from "../system/files/mount-table.ts";
import { nearestExisting } from "../system/files/nearest-existing.ts";
import { sweepUnfinished, writeByRename } from "../system/files/write-by-rename.ts";
import { asSystemError, isErrno } from "../system/libc/errno.ts";
import { commandLineOf } from "../system/processes/process-tree.ts";
import { signalName } from "../system/processes/signals.ts";
import type { RunOutcome } from "./run-request.ts";

/** Whose run it was; null for what was not known when it ended. */
export interface RunOf {
  readonly name: string | null;
  readonly configuration: Configuration | null;
  /** Null when the lock was not held. */
  readonly generation: number | null;
  readonly command: readonly string[];
}

/** How a run went, for programs that read it later. */
export interface RunStatus extends RunOf {
  /** What of the command's process tree goes on: it could not be killed, or may stay (`--leftovers leave`). */
  readonly leftovers: readonly { readonly pid: number; readonly command: string }[];
  /** Local time as records have it; null when the command never ran. */
  readonly started: string | null;
  readonly ended: string;
  /** What `trainlock run` exits with. */
  readonly exitCode: number;
  /** The signal the command died of, or that ended the wait: `SIGTERM`. */
  readonly signal: string | null;
  readonly coreDumped: boolean;
  readonly reason: RunOutcome["kind"] | "error";
  /** One line more where there is something to say. */
  readonly detail: string | null;
  /** Who has the lock; null unless it is locked. */
  readonly holder: Holder | null;
}

/** What an outcome, or an error that came in its place, is to be remembered by. */
export function statusOf(of: RunOf, outcome: RunOutcome | TrainlockError, exitCode: number): RunStatus {
  const ended = localIso(nowMicroseconds());
  const nothing = {
    ...of,
    command: withoutSecrets(of.command),
    leftovers: [],
    started: null,
    ended,
    exitCode,
    signal: null,
    coreDumped: false,
    detail: null,
    holder: null,
  };
  if (outcome instanceof Error) {
    return { ...nothing, reason: outcome instanceof LockLostError ? "lost" : "error", detail: outcome.message };
  }
  const started = outcome.startedAt === null ? null : localIso(outcome.startedAt * 1000);
  const status = { ...nothing, started, reason: outcome.kind };
  switch (outcome.kind) {
    case "done":
      return { ...status, detail: outcome.checkpoint };
    case "locked":
      return { ...status, detail: outcome.busy.path, holder: outcome.busy.holder };
    case "interrupted":
      return { ...status, signal: outcome.signal };
    case "not started":
    case "ended well":
    case "used up":
      return status;
    case "lost":
    case "ended": {
      const { ending, left } = outcome;
      const detail = outcome.kind === "lost" ? outcome.why : null;
      const leftovers = left.map((each) => ({
        pid: each.pid,
        command: withoutSecrets([commandLineOf(each)]).join(" "),
      }));
      if (ending.kind === "exited") return { ...status, detail, leftovers };
      return { ...status, detail, leftovers, signal: signalName(ending.signal), coreDumped: ending.coreDumped };
    }
  }
}

/** Replaces a file whole. What has come in its place since the start, and is none, stays what it is. */
export function writeStatus(path: string, status: RunStatus): void {
  requireFilePlace("--status", path);
  writeByRename(path, Buffer.from(`${JSON.stringify(status, null, 2)}\n`));
  sweepUnfinished(path);
}

/** Fails before a training begins rather than after it has ended. */
export function requireWritableStatus(path: string): void {
  requireFilePlace("--status", path);
  try {
    accessSync(dirname(path), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw asSystemError("write the status into", dirname(path), error);
  }
}

/** What may not be written over, not even to tell of that. */
export const misplacedStatus = "ERR_STATUS_PLACE";

/** A status in the place of the lock, the marker or a record would end the very claim that it tells of. */
export function requireStatusApart(path: string, { lockDir }: Pick<Layout, "lockDir">): void {
  const { leadsTo } = nearestExisting(path);
  if (!isOwnName(basename(path)) && !contains(nearestExisting(lockDir).leadsTo, leadsTo)) return;
  throw new UsageError(`--status would replace a file of trainlock's own: ${path}`, {
    code: misplacedStatus,
    hint: "name a file outside of the lock dir, and one whose name does not begin with .training_lock",
  });
}

/** Throws a UsageError where something else than a regular file stands: a rename would replace a device, a pipe or a link. */
export function requireFilePlace(option: string, path: string): void {
  const what = whatStandsAt(path);
  if (what === null) return;
  throw new UsageError(`${option} writes regular files only, and ${path} is ${what}`, {
    hint: "name a file, or a place where nothing is yet",
  });
}

function whatStandsAt(path: string): string | null {
  try {
    const found = lstatSync(path, { throwIfNoEntry: false });
    if (found === undefined || found.isFile()) return null;
    if (found.isDirectory()) return "a folder";
    return found.isSymbolicLink() ? "a link" : "a device, a pipe or a socket";
  } catch (error) {
    // A file on the way: what is to be written there fails by itself.
    if (isErrno(error, "ENOTDIR")) return null;
    throw asSystemError("look at", path, error);
  }
}
