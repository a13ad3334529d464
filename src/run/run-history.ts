import { claimEvents, Refusals, whenLost } from "../history/claim-events.ts";
import type { EventDetail, EventSubject } from "../history/event.ts";
import { type EventLog, noEvents } from "../history/event-log.ts";
import { asker } from "../history/event-place.ts";
import { messageOf } from "../model/errors.ts";
import type { RunEnds } from "../model/run-ends.ts";
import { recordedCommand } from "../stores/claim-record.ts";
import type { Busy, HeldLock } from "../stores/store.ts";
import type { CountedOutcome } from "./count-run.ts";
import type { RunRequest } from "./run-request.ts";

/** What one run has to say to the history of its configuration. */
export class RunHistory {
  readonly #log: EventLog;
  readonly #subject: Pick<EventSubject, "name" | "stage">;
  readonly #command: readonly string[] | null;
  readonly #refusals = new Refusals();
  #lock: HeldLock | null = null;
  #attempt = 1;

  constructor({ history, leads, layout, configuration, argv }: RunRequest) {
    // A rank that joins another's run is no run of its own.
    this.#log = leads ? history : noEvents;
    this.#subject = { name: layout.displayName(configuration), stage: configuration.stage };
    this.#command = recordedCommand(layout.site, argv);
  }

  /** The result of an earlier training is there. */
  skipped(by: string): void {
    this.#add({ event: "skipped", by, asker: asker() });
  }

  refused({ holder }: Busy): void {
    const refusal = this.#refusals.eventOf(holder);
    if (refusal !== null) this.#add(refusal);
  }

  /** The lock is held, and the command is about to start. */
  claimed(lock: HeldLock, before: RunEnds): void {
    this.#lock = lock;
    this.#attempt = before.attempts + 1;
    for (const detail of claimEvents(lock.earlier, this.#attempt, this.#command)) this.#add(detail);
    whenLost(lock, (detail) => this.#add(detail));
  }

  ended({ ends, why }: CountedOutcome): void {
    if (ends === undefined || ends.lastEnd === null) return;
    const { lastEnd: end, lastExit: exit, seconds, checkpoint, attempts, interruptions } = ends;
    const counts = { seconds, checkpoint, attempts, interruptions };
    const told = why === undefined ? counts : { ...counts, why };
    this.#add({ event: "ended", attempt: this.#attempt, end, exit, ...told, command: this.#command });
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
    this.#log.add({ token: lock?.token ?? null, generation: lock?.generation ?? null, ...this.#subject }, detail);
  }
}
