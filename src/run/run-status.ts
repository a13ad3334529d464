import { accessSync, constants } from "node:fs";
import { LockLostError, type TrainlockError } from "../model/errors.ts";
import type { Holder } from "../model/holder.ts";
import { localIso, nowMicroseconds } from "../model/local-time.ts";
import { writeByRename } from "../system/files/write-by-rename.ts";
import { asSystemError } from "../system/libc/errno.ts";
import { signalName } from "../system/processes/signals.ts";
import type { RunOutcome } from "./run-request.ts";

/** How a run went, for programs that read it later. */
export interface RunStatus {
  /** Local time as records have it; null when the command never ran. */
  readonly started: string | null;
  readonly ended: string;
  /** What `trainlock run` exits with. */
  readonly exitCode: number;
  /** The signal the command died of, or that ended the wait: `SIGTERM`. */
  readonly signal: string | null;
  readonly coreDumped: boolean;
  readonly reason: "ended" | "done" | "locked" | "lost" | "interrupted" | "not started" | "error";
  /** One line more where there is something to say. */
  readonly detail: string | null;
  /** Who has the lock; null unless it is locked. */
  readonly holder: Holder | null;
}

/** What an outcome, or an error that came in its place, is to be remembered by. */
export function statusOf(outcome: RunOutcome | TrainlockError, exitCode: number): RunStatus {
  const ended = localIso(nowMicroseconds());
  const nothing = { started: null, ended, exitCode, signal: null, coreDumped: false, detail: null, holder: null };
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
      return status;
    case "lost":
    case "ended": {
      const { ending } = outcome;
      const detail = outcome.kind === "lost" ? outcome.why : null;
      if (ending.kind === "exited") return { ...status, detail };
      return { ...status, detail, signal: signalName(ending.signal), coreDumped: ending.coreDumped };
    }
  }
}

export function writeStatus(path: string, status: RunStatus): void {
  writeByRename(path, Buffer.from(`${JSON.stringify(status, null, 2)}\n`));
}

/** Fails before a training begins rather than after it has ended. */
export function requireWritableFolder(folder: string): void {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw asSystemError("write the status into", folder, error);
  }
}
