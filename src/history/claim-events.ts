import { holderFrom } from "../stores/claim-record.ts";
import type { EarlierRuns } from "../stores/store.ts";
import { type EventDetail, eventHolder } from "./event.ts";

/** What a claim says of the dead lock that it has replaced; null: there was none. */
export function takeoverEvent({ killed, evidence }: EarlierRuns): EventDetail | null {
  if (killed === null && evidence.length === 0) return null;
  const from = holderFrom(killed, null);
  return {
    event: "taken-over",
    of: killed?.trainlock?.token ?? null,
    from: from === null ? null : eventHolder(from),
    evidence: evidence.map(({ source, detail }) => `${source}: ${detail}`),
  };
}
