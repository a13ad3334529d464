import type { Attempt } from "./contender.ts";
import type { Holding, Scene } from "./scene.ts";
import { tool, ttlMs } from "./tools.ts";

/**
 * What becomes of the claim that is held when the fault begins. `kept`: unless nobody could reach the cluster for three quarters
 * of the time to live; `lost`: with exit code 74; `any`: the fault itself looks at it.
 */
export type Fate = "kept" | "lost" | "any";

/** One fault in the table. */
export interface Row {
  readonly fault: string;
  readonly tool: string;
  rounds: number;
  /** Rounds in which the machine made a short outage a long one. */
  tooLong: number;
  claims: number;
  longestOutageMs: number;
  overlaps: number;
  /** Commands that ran beside the next one, where all that could have stopped them was stopped or killed, or their key removed. */
  unguarded: number;
  lost: number;
  /** Commands that ran beside the next one, and whose end looked like any other. */
  unnoticed: number;
  reclaimed: number;
  readonly endings: Record<string, number>;
  readonly told: string[];
  readonly violations: string[];
}

export interface Outcome {
  readonly claim: Fate;
  readonly takesMs: number;
  readonly holder: Holding;
  readonly outageMs: number;
  readonly left: readonly string[];
}

/** What an outage has to be shorter than to lose nothing. */
const bearableMs = ttlMs * 0.75;
/** Held by another; ended by us, while it waited or before it could. */
const turnedAway: ReadonlySet<Attempt["ending"]> = new Set([75, 143, "SIGTERM", null]);

export function emptyRow(fault: string): Row {
  const counts = { rounds: 0, tooLong: 0, claims: 0, longestOutageMs: 0, overlaps: 0, unguarded: 0 };
  return {
    fault,
    tool: tool.name,
    ...counts,
    lost: 0,
    unnoticed: 0,
    reclaimed: 0,
    endings: {},
    told: [],
    violations: [],
  };
}

/** Counts what happened in a scene, and holds it against what is promised. */
export function addRound(row: Row, scene: Scene, outcome: Outcome): void {
  const { intervals, overlaps } = scene.journal();
  const attempts = scene.attempts();
  const isUnguarded = ({ earlier }: { readonly earlier: number }) => scene.unguarded.has(earlier);
  const overtaken = new Set(overlaps.map(({ earlier }) => earlier));
  const endingOf = new Map(attempts.map(({ pid, ending }) => [String(pid), ending]));
  row.rounds += 1;
  row.claims += intervals.length;
  row.longestOutageMs = Math.max(row.longestOutageMs, outcome.outageMs);
  row.overlaps += new Set(overlaps.filter((each) => !isUnguarded(each)).map(({ earlier }) => earlier)).size;
  row.unguarded += new Set(overlaps.filter(isUnguarded).map(({ earlier }) => earlier)).size;
  row.lost += attempts.filter(isLost).length;
  row.unnoticed += intervals.filter(({ pid, writer }) => overtaken.has(pid) && endingOf.get(writer) === 0).length;
  row.reclaimed += attempts.filter(({ stderr }) => stderr.includes("claimed again: generation")).length;
  const holders = new Set(intervals.map(({ writer }) => writer));
  for (const { pid, ending } of attempts) {
    if (!holders.has(String(pid)) && turnedAway.has(ending)) continue;
    row.endings[String(ending)] = (row.endings[String(ending)] ?? 0) + 1;
  }
  if (outcome.claim === "kept" && isTooLong(outcome)) row.tooLong += 1;
  row.violations.push(...violationsOf(scene, outcome));
}

function violationsOf(scene: Scene, outcome: Outcome): string[] {
  const { claim, holder, outageMs, left } = outcome;
  const { overlaps, repeated } = scene.journal();
  const lost = scene.attempts().filter(isLost);
  const found = overlaps.filter(({ earlier }) => !scene.unguarded.has(earlier)).map(({ text }) => `overlap: ${text}`);
  found.push(...repeated, ...generationsAfterReclaims(scene), ...left.map((each) => `left over: ${each}`));
  for (const { pid, ending, stderr } of lost)
    if (ending !== 74 && !scene.killed.has(pid)) found.push(`lost, and ended with ${ending}: ${stderr}`);
  for (const { ending, stderr } of scene.attempts())
    if (ending === 3 && stderr.includes("Waiting for")) found.push(`gave up waiting: ${stderr}`);
  const expected = claim === "lost" ? 74 : claim === "kept" && !isTooLong(outcome) ? 0 : null;
  const attempt = scene.attempt(holder);
  if (expected !== null && attempt?.ending !== expected)
    found.push(
      `the holder ended with ${attempt?.ending}, not ${expected}, in an outage of ${outageMs} ms: ${attempt?.stderr}`,
    );
  return found;
}

function isTooLong({ outageMs, takesMs }: Outcome): boolean {
  return outageMs + takesMs >= bearableMs;
}

function isLost({ ending, stderr }: Attempt): boolean {
  return ending === 74 || stderr.includes("the lock was lost");
}

/** A claim that was made again has a higher generation than before, and who comes next a higher one still. */
function generationsAfterReclaims(scene: Scene): string[] {
  const { intervals } = scene.journal();
  return scene.attempts().flatMap(({ pid, stderr }) => {
    const again = [...stderr.matchAll(/claimed again: generation (\d+)/g)].map(([, generation]) => Number(generation));
    const at = intervals.findIndex(({ writer }) => writer === String(pid));
    const all = [intervals[at]?.generation ?? 0, ...again, intervals[at + 1]?.generation ?? Number.POSITIVE_INFINITY];
    const grows = all.every((generation, index) => index === 0 || generation > (all[index - 1] ?? 0));
    return at < 0 || again.length === 0 || grows ? [] : [`generations ${all.join(", ")}`];
  });
}
