import { messageOf } from "../model/errors.ts";
import type { Holder } from "../model/holder.ts";
import { holderFrom } from "../stores/record-holder.ts";
import type { EarlierRuns, HeldLock } from "../stores/store.ts";
import { type EventDetail, eventHolder } from "./event.ts";
import { asker } from "./event-place.ts";

/** What is noted of a claim: the dead lock that it has replaced, if there was one, and the claim itself. */
export function claimEvents(
  earlier: EarlierRuns,
  attempt: number,
  command: readonly string[] | null,
): readonly EventDetail[] {
  const takeover = takeoverEvent(earlier);
  return [...(takeover === null ? [] : [takeover]), { event: "claimed", attempt, command }];
}

function takeoverEvent({ killed, evidence }: EarlierRuns): EventDetail | null {
  if (killed === null && evidence.length === 0) return null;
  const from = holderFrom(killed, null);
  return {
    event: "taken-over",
    of: killed?.trainlock?.token ?? null,
    from: from === null ? null : eventHolder(from),
    evidence: [...new Set(evidence.map(({ source, detail }) => `${source}: ${detail}`))],
  };
}

/** Calls `note` once the lock is lost, if it ever is. */
export function whenLost({ lost }: Pick<HeldLock, "lost">, note: (detail: EventDetail) => void): void {
  const onLoss = () => note({ event: "lost", why: messageOf(lost.reason) });
  if (lost.aborted) onLoss();
  else lost.addEventListener("abort", onLoss, { once: true });
}

/** The events of refusals: one for each holder, however often it is in the way. */
export class Refusals {
  readonly #noted = new Set<string>();

  /** Null: this holder has been noted. */
  eventOf(holder: Holder): EventDetail | null {
    const who = eventHolder(holder);
    const key = JSON.stringify(who);
    if (this.#noted.has(key)) return null;
    this.#noted.add(key);
    return { event: "refused", holder: who, asker: asker() };
  }
}
