import { claimEvents, Refusals, whenLost } from "../history/claim-events.ts";
import type { EventDetail, EventSubject } from "../history/event.ts";
import { type EventLog, openEventLog } from "../history/event-log.ts";
import type { Configuration } from "../model/configuration.ts";
import type { Layout } from "../site/layout.ts";
import { recordedCommand } from "../stores/claim-record.ts";
import type { Busy, HeldLock } from "../stores/store.ts";
import { executable } from "./executable.ts";

/** What a program that holds locks by the library has to say to the history of its configuration. */
export class LockHistory {
  readonly #log: EventLog;
  readonly #subject: Pick<EventSubject, "name" | "stage">;
  readonly #command: readonly string[] | null;
  readonly #refusals = new Refusals();

  constructor(layout: Layout, configuration: Configuration) {
    const onProblem = (text: string) => process.emitWarning(text, "TrainlockWarning");
    this.#log = openEventLog(layout, onProblem, { program: executable });
    this.#subject = { name: layout.displayName(configuration), stage: configuration.stage };
    this.#command = recordedCommand(layout.site, process.argv);
  }

  /** Once for each holder, however often the program asks. */
  refused({ holder }: Busy): void {
    const refusal = holder.pid === process.pid ? null : this.#refusals.eventOf(holder);
    if (refusal === null) return;
    this.#add(null, refusal);
    void this.#log.close();
  }

  claimed(lock: HeldLock): void {
    const { earlier } = lock;
    for (const detail of claimEvents(earlier, earlier.ends.attempts + 1, this.#command)) this.#add(lock, detail);
    whenLost(lock, (detail) => this.#add(lock, detail));
  }

  /** Released by a program, which does not say how its training ended, or handed over to the command that goes on. */
  ended(lock: HeldLock, to: "released" | "handed over"): Promise<void> {
    const { attempts, interruptions, checkpoint } = lock.earlier.ends;
    const counts = { exit: null, seconds: null, checkpoint, attempts, interruptions };
    const handedOver = to === "handed over" ? { handedOver: true as const } : {};
    this.#add(lock, {
      event: "ended",
      attempt: attempts + 1,
      end: lock.lost.aborted ? "interrupted" : null,
      ...counts,
      ...handedOver,
      command: this.#command,
    });
    return this.#log.close();
  }

  #add(lock: HeldLock | null, detail: EventDetail): void {
    const claim = { token: lock?.token ?? null, generation: lock?.generation ?? null };
    this.#log.add({ ...claim, ...this.#subject }, detail);
  }
}
