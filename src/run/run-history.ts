import { takeoverEvent } from "../history/claim-events.ts";
import { type EventDetail, eventHolder } from "../history/event.ts";
import { type EventLog, noEvents } from "../history/event-log.ts";
import { asker } from "../history/event-place.ts";
import { messageOf } from "../model/errors.ts";
import type { RunEnds } from "../model/run-ends.ts";
import { recordedCommand } from "../stores/claim-record.ts";
import type { Busy, ClaimOutcome, HeldLock } from "../stores/store.ts";
import type { RunRequest } from "./run-request.ts";

/** What one run has to say to the history of its configuration. */
export class RunHistory {
  readonly #log: EventLog;
  readonly #name: string;
  readonly #command: readonly string[] | null;
  readonly #refusedBy = new Set<string>();
  #lock: HeldLock | null = null;
  #attempt = 1;

  constructor({ history, leads, layout, configuration, argv }: RunRequest) {
    // A rank that joins another's run is no run of its own.
    this.#log = leads ? history : noEvents;
    this.#name = layout.displayName(configuration);
    this.#command = recordedCommand(layout.site, argv);
  }

  /** The result of an earlier training is there. */
  skipped(by: string): void {
    this.#add({ event: "skipped", by, asker: asker() });
  }

  refused({ holder }: Busy): void {
    const who = eventHolder(holder);
    const key = JSON.stringify(who);
    if (this.#refusedBy.has(key)) return;
    this.#refusedBy.add(key);
    this.#add({ event: "refused", holder: who, asker: asker() });
  }

  /** The lock is held, and the command is about to start. */
  claimed(lock: HeldLock, before: RunEnds): void {
    this.#lock = lock;
    const takeover = takeoverEvent(lock.earlier);
    if (takeover !== null) this.#add(takeover);
    this.#attempt = before.attempts + 1;
    this.#add({ event: "claimed", attempt: this.#attempt, command: this.#command });
    const onLoss = () => this.#add({ event: "lost", why: messageOf(lock.lost.reason) });
    if (lock.lost.aborted) onLoss();
    else lock.lost.addEventListener("abort", onLoss, { once: true });
  }

  ended({ ends }: ClaimOutcome): void {
    if (ends === undefined || ends.lastEnd === null) return;
    const { lastEnd: end, lastExit: exit, seconds, checkpoint, attempts, interruptions } = ends;
    const counts = { seconds, checkpoint, attempts, interruptions };
    this.#add({ event: "ended", attempt: this.#attempt, end, exit, ...counts, command: this.#command });
  }

  /** An own fault, or a lock that was lost too soon: the command was not run to its end, and nothing is counted. */
  notRun(error: unknown, { attempts, interruptions, checkpoint }: RunEnds): void {
    const counts = { seconds: null, checkpoint, attempts, interruptions };
    const why = messageOf(error);
    const end = { event: "ended", attempt: this.#attempt, end: "interrupted", exit: null, ...counts, why } as const;
    this.#add({ ...end, command: this.#command });
  }

  settled(): Promise<void> {
    return this.#log.settled();
  }

  #add(detail: EventDetail): void {
    const lock = this.#lock;
    this.#log.add({ token: lock?.token ?? null, generation: lock?.generation ?? null, name: this.#name }, detail);
  }
}
