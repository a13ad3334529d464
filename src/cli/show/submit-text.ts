import { hasEndedWellWithoutRule, type Plan } from "../../grid/plan.ts";
import { idOf, type Submission } from "../../grid/submissions.ts";
import { durationText } from "../../model/durations.ts";
import { printable } from "../../model/printable.ts";
import { localIso } from "../../system/clock/local-time.ts";

/** Of a submit that was killed: nobody else submits now. Its rows would wait for ever, and cron would say nothing of that. */
export function inDoubtText(submission: Submission): string {
  const { user, host, elements, submittedAt } = submission;
  const at = localIso(submittedAt * 1000).slice(0, 19);
  return (
    `trainlock: whether the scheduler has what ${printable(user)} submitted on ${printable(host)} at ${at} is not known: ` +
    `${rowsText(elements)} of it count as queued\n  if it has no such job: trainlock submit --forget ${idOf(submission)}`
  );
}

/** Each array may run at least one element. */
export function leftText(rows: number, arrays: number): string {
  return (
    `${rowsText(rows)} more can be trained: --max-running allows no more than ${arrays === 1 ? "one array" : `${arrays} arrays`} at once.\n` +
    "  Submit again when these have ended"
  );
}

export function rowsText(count: number): string {
  return count === 1 ? "1 row" : `${count} rows`;
}

/** `nothing to submit: 12 queued by alice (job 123456), 3 running` */
export function nothingText({ rows, counts }: Plan): string {
  const byJob = new Map<string, number>();
  for (const { queued } of rows) {
    if (queued === null) continue;
    const age = durationText(Date.now() - queued.submittedAt);
    const silence = queued.doubt === null ? "" : `, submitted ${age} ago, no answer of its scheduler`;
    const key = `queued by ${printable(queued.user)} (job ${printable(queued.job)}${silence})`;
    byJob.set(key, (byJob.get(key) ?? 0) + 1);
  }
  const others = (["done", "running", "unknown", "blocked", "failed"] as const)
    .filter((state) => counts[state] > 0)
    .map((state) => `${counts[state]} ${state}`);
  const queued = [...byJob].map(([what, count]) => `${count} ${what}`);
  const ended = rows.filter(hasEndedWellWithoutRule).length;
  const trained = ended === 0 ? [] : [`${ended} whose last run ended with 0 (no done rule)`];
  return `nothing to submit: ${[...queued, ...others, ...trained].join(", ")}`;
}
