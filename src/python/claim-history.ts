import { claimEvents } from "../history/claim-events.ts";
import { cutList, type EventDetail, eventHolder } from "../history/event.ts";
import { ownEventFile } from "../history/event-file.ts";
import { type EventLog, keepsHistory, openEventLog } from "../history/event-log.ts";
import { asker, eventPlace } from "../history/event-place.ts";
import type { Configuration } from "../model/configuration.ts";
import type { RunEnds } from "../model/run-ends.ts";
import type { Layout } from "../site/layout.ts";
import { recordedCommand } from "../stores/claim-record.ts";
import type { Busy, EarlierRuns } from "../stores/store.ts";
import { readTreeProcess } from "../system/processes/process-tree.ts";
import type { Answer } from "./answer.ts";
import type { RequestOf } from "./messages.ts";

/** A longer command is cut. This leaves room for the rest of an event, which is one write. */
const longestCommand = 1000;

/** The claim that an event is of. */
export interface NotedClaim {
  readonly token: string;
  readonly generation: number;
}

/** What one request of a Python program has to say to the history of its configuration. */
export class ClaimHistory {
  readonly #log: EventLog;
  readonly #layout: Layout;
  readonly #request: RequestOf<"acquire">;
  readonly #name: string;
  readonly #stage: Configuration["stage"];
  readonly #command: readonly string[] | null;
  #claim: NotedClaim | null = null;
  #attempt = 1;

  constructor(
    layout: Layout,
    configuration: Configuration,
    request: RequestOf<"acquire">,
    onProblem: (text: string) => void,
  ) {
    this.#log = openEventLog(layout, onProblem, { pid: request.pid });
    this.#layout = layout;
    this.#request = request;
    this.#name = layout.displayName(configuration);
    this.#stage = configuration.stage;
    this.#command = recordedCommand(layout.site, request.command);
  }

  /**
   * Another has the lock: of the requests of one call of acquire() the first says so, and none of a worker that looks for a row.
   */
  refused({ holder }: Busy): void {
    const { pid, asks_again: asksAgain, row } = this.#request;
    if (asksAgain || row !== null || holder?.pid === pid || holder === null) return;
    const starter = readTreeProcess(pid)?.parent ?? pid;
    this.#add({ event: "refused", holder: eventHolder(holder), asker: asker(starter) });
  }

  claimed(claim: NotedClaim, earlier: EarlierRuns, before: RunEnds): void {
    this.#claim = claim;
    this.#attempt = before.attempts + 1;
    for (const detail of claimEvents(earlier, this.#attempt, this.#command)) this.#add(detail);
  }

  lost(why: string): void {
    this.#add({ event: "lost", why });
  }

  /** `ends`: null where the program has not said how it ended. */
  ended(ends: RunEnds | null): void {
    const { attempts = 0, interruptions = 0, checkpoint = null, seconds = null } = ends ?? {};
    const counts = { seconds, checkpoint, attempts, interruptions };
    const [end, exit] = [ends?.lastEnd ?? null, ends?.lastExit ?? null];
    this.#add({ event: "ended", attempt: this.#attempt, end, exit, ...counts, command: this.#command });
  }

  /** What the program needs to note by itself how its claim ends; null: no history is kept. */
  forProgram(): Answer["history"] {
    if (this.#claim === null || !keepsHistory(this.#layout)) return null;
    const { host, job, gpus } = eventPlace(this.#request.pid);
    const command = this.#command === null ? null : cutList(this.#command, longestCommand);
    const file = ownEventFile(this.#layout.lockDir, new Date());
    return { file, name: this.#name, host, job, gpus, attempt: this.#attempt, command };
  }

  written(): Promise<void> {
    return this.#log.settled();
  }

  #add(detail: EventDetail): void {
    const claim = this.#claim;
    const { token = null, generation = null } = claim ?? {};
    const subject = { token, generation, name: this.#name, stage: this.#stage };
    this.#log.add(subject, detail);
  }
}
