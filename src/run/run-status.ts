import { accessSync, closeSync, constants, openSync, statSync, writeSync } from "node:fs";
import { dirname } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import { LockLostError, type TrainlockError } from "../model/errors.ts";
import type { Holder } from "../model/holder.ts";
import { localIso, nowMicroseconds } from "../model/local-time.ts";
import { withoutSecrets } from "../model/secrets.ts";
import { writeByRename } from "../system/files/write-by-rename.ts";
import { asSystemError } from "../system/libc/errno.ts";
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

/** Replaces a file whole, and writes into what is none: a device or a pipe stays what it is. */
export function writeStatus(path: string, status: RunStatus): void {
  const text = Buffer.from(`${JSON.stringify(status, null, 2)}\n`);
  if (!isSpecial(path)) {
    writeByRename(path, text);
    return;
  }
  try {
    // A pipe that nobody reads would keep us for ever.
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    try {
      writeSync(fd, text);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    throw asSystemError("write the status into", path, error);
  }
}

/** Fails before a training begins rather than after it has ended. */
export function requireWritableStatus(path: string): void {
  const place = isSpecial(path) ? path : dirname(path);
  try {
    accessSync(place, isSpecial(path) ? constants.W_OK : constants.W_OK | constants.X_OK);
  } catch (error) {
    throw asSystemError("write the status into", place, error);
  }
}

function isSpecial(path: string): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  return found !== undefined && !found.isFile() && !found.isDirectory();
}
