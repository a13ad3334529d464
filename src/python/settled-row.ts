import type { Configuration } from "../model/configuration.ts";
import { messageOf } from "../model/errors.ts";
import type { RunEnds } from "../model/run-ends.ts";
import { asksAnything } from "../run/done-rule.ts";
import { findDone } from "../run/find-done.ts";
import type { Layout } from "../site/layout.ts";
import type { RequestOf } from "./messages.ts";

/** Why a row of a grid is not to be trained. */
export interface SettledRow {
  readonly state: "done" | "failed" | "unknown";
  /** The reason in words, where the state does not say it. */
  readonly why: string | null;
}

/**
 * Looks at a row of a grid once more when it has been claimed: between the look at the grid and the claim, another program may
 * have trained it to its end. `before`: how the runs before this claim ended. Null: it is to be trained. Never throws: the
 * claim is held, and only the caller can release it.
 */
export async function settledRow(
  layout: Layout,
  configuration: Configuration,
  row: RequestOf<"acquire">["row"],
  before: RunEnds,
): Promise<SettledRow | null> {
  if (row === null) return null;
  const rule = { patterns: row.when, smallestBytes: row.min_size, file: row.file };
  try {
    const found = asksAnything(rule) ? await findDone(layout, configuration, rule) : null;
    if (found?.kind === "another's") return { state: "unknown", why: found.error.message };
    if (found === null ? before.lastEnd === "done" : found.kind === "done") return { state: "done", why: null };
  } catch (error) {
    return { state: "unknown", why: messageOf(error) };
  }
  return before.attempts >= row.max_attempts ? { state: "failed", why: null } : null;
}
