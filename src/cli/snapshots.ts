import { type Lately, readLately } from "../board/lately.ts";
import { makeSnapshot, type Snapshot } from "../board/snapshot.ts";
import type { RemoteOptions } from "../evidence/remote/options.ts";
import type { Plan } from "../grid/plan.ts";
import { countStates } from "../grid/row-state.ts";
import { messageOf, TrainlockError } from "../model/errors.ts";
import { errnoOf, unexpectedSystemError } from "../system/libc/errno.ts";
import type { PlanSource, RowsInForce } from "./plan-source.ts";

/** How whoever looks again and again asks others, and what that took since it was last taken, milliseconds. */
export interface Watching {
  readonly asks: Partial<RemoteOptions>;
  readonly takeAskedMs: () => number;
}

/** A scheduler has other work than pages: one question a minute, and nothing written over a screen. */
export function watchOthers(): Watching {
  let askedMs = 0;
  return {
    asks: {
      askEveryMs: 60_000,
      onNote: () => undefined,
      onAsked: (tookMs) => {
        askedMs += tookMs;
      },
    },
    takeAskedMs: () => {
      const taken = askedMs;
      askedMs = 0;
      return taken;
    },
  };
}

/** A lab's history of a week is a few megabytes. */
const historyEveryMs = 60_000;

const nothing: Plan = { rows: [], counts: countStates([]) };

/**
 * Takes a snapshot of a plan again and again. What fails is told on the snapshot, beside the last rows that could be read: a
 * grid that somebody is just editing, or a file server that is away, ends no page.
 */
export function takeSnapshots(source: PlanSource): () => Promise<Snapshot> {
  let last: { rows: RowsInForce | null; plan: Plan; isMade: boolean } = { rows: null, plan: nothing, isMade: false };
  let lately: { readonly found: Lately; readonly dueMs: number } = {
    found: { duplicates: 0, runs: [], unreadable: new Map() },
    dueMs: 0,
  };
  const readHistory = async (nowMs: number, { rows }: Plan, problems: string[]): Promise<Lately> => {
    if (nowMs < lately.dueMs) return lately.found;
    const names = new Set(rows.map(({ name }) => name));
    const found = await readLately(source.layout.lockDir, nowMs, names).catch((error: unknown) => {
      problems.push(`the history cannot be read: ${inWords(error)}`);
      return lately.found;
    });
    lately = { found, dueMs: nowMs + historyEveryMs };
    return found;
  };
  const attempt = async (problems: string[]): Promise<Plan> => {
    const rows = await source.rows().catch((error: unknown) => {
      problems.push(`${inWords(error)}${last.rows === null ? "" : ": the rows read before are shown"}`);
      return last.rows;
    });
    if (rows === null) return last.plan;
    for (const [path, why] of rows.unreadable) problems.push(`cannot look into ${path}: ${why}; it is left out`);
    const [link] = rows.links;
    if (link !== undefined)
      problems.push(`links are not followed where folders belong: ${rows.links.length}, such as ${link}`);
    const plan = await source.look(rows);
    last = { rows, plan, isMade: true };
    return plan;
  };
  return async () => {
    const atMs = Date.now();
    const startedMs = performance.now();
    const problems: string[] = [];
    const plan = await attempt(problems).catch((error: unknown) => {
      problems.push(`${inWords(error)}${last.isMade ? ": nothing new is known" : ""}`);
      return last.plan;
    });
    const found = await readHistory(atMs, plan, problems);
    for (const [path, why] of found.unreadable)
      problems.push(`the history is not complete: cannot read ${path}: ${why}`);
    return makeSnapshot({
      plan,
      gridFile: source.gridFile,
      isMade: last.isMade,
      names: source.reader.names,
      problems,
      lately: found,
      atMs,
      tookMs: performance.now() - startedMs,
    });
  };
}

/** A defect is not hidden on a page. */
function inWords(error: unknown): string {
  if (error instanceof TrainlockError || errnoOf(error) !== undefined)
    return messageOf(unexpectedSystemError(error) ?? error);
  throw error;
}
