import { messageOf } from "../model/errors.ts";
import type { RunStatus } from "../run/run-status.ts";
import { signalNumber } from "../system/processes/signals.ts";
import type { Rest } from "./remaining-rows.ts";
import type { RowEnd } from "./row-process.ts";
import type { RunEnd } from "./work-request.ts";

/** What is left of a row whose wrapper found, under the lock, that others have been there since the look at it. */
const leftAs: Partial<Record<RunStatus["reason"], "done" | Rest>> = {
  locked: { kind: "held" },
  done: "done",
  "ended well": "done",
  "used up": { kind: "failed" },
};

/** What is left of a row that its wrapper did not train, since others had been there; null: it was to be trained here. */
export function leftUntrained({ status }: RowEnd): "done" | Rest | null {
  return status === null ? null : (leftAs[status.reason] ?? null);
}

/**
 * How a run ended, by its wrapper's report and by what has come of it. `passed`: the signal that was passed on meanwhile.
 * `missing` is asked only after exit code 0: what it lacks to be done.
 */
export async function judgeRun(
  { status, stopSignal, ending, messages }: RowEnd,
  passed: NodeJS.Signals | null,
  missing: (wasStopped: boolean) => Promise<string | null>,
): Promise<RunEnd> {
  if (status === null) {
    if (ending.kind === "exited") return { kind: "problem", why: saidIn(messages) };
    // A wrapper that has come so far as to start something takes signals, and reports.
    if (passed !== null && ending.signal === signalNumber(passed))
      return { kind: "interrupted", why: `${passed} came before it started` };
    return { kind: "interrupted", why: `its wrapper ended before it (signal ${ending.signal})` };
  }
  const { exitCode, signal, reason, detail } = status;
  if (reason === "error") return { kind: "problem", why: detail ?? saidIn(messages) };
  if (reason === "lost")
    return { kind: "interrupted", why: `the lock was lost${detail === null ? "" : `: ${detail}`}` };
  if (reason === "interrupted") return { kind: "interrupted", why: `${signal ?? "a signal"} came before it started` };
  // Somebody may have stopped the wrapper alone.
  const stopped = passed ?? stopSignal;
  const look = exitCode === 0 ? await lookAt(() => missing(stopped !== null)) : null;
  if (look !== null && !look.unseen && look.missing === null) return { kind: "done" };
  if (stopped !== null) return { kind: "interrupted", why: `${stopped} was passed on`, isCounted: true };
  if (look?.unseen === true) return { kind: "unseen", why: look.why };
  if (exitCode === 126 || exitCode === 127) return { kind: "broken command", exitCode };
  return { kind: "failed", exitCode, signal, missing: look?.missing ?? null };
}

type LookAfterRun =
  | { readonly unseen: false; readonly missing: string | null }
  | { readonly unseen: true; readonly why: string };

async function lookAt(missing: () => Promise<string | null>): Promise<LookAfterRun> {
  try {
    return { unseen: false, missing: await missing() };
  } catch (error) {
    return { unseen: true, why: messageOf(error) };
  }
}

function saidIn(messages: readonly string[]): string {
  return messages[0]?.replace(/^trainlock: /, "") ?? "its wrapper failed";
}
