import { existsSync } from "node:fs";
import { messageOf } from "../model/errors.ts";
import type { Layout } from "../site/layout.ts";
import { asSystemError, isErrno } from "../system/libc/errno.ts";
import { appendApart, isOnOwnDisk } from "./append-apart.ts";
import { type EventDetail, type EventSubject, eventLine } from "./event.ts";
import { appendLine, callsAtOnce, OwnEventFile, ownEventFile } from "./event-file.ts";
import { eventPlace } from "./event-place.ts";

/** How long an event may take. Nobody waits longer, and a late event makes nothing fail. */
const deadlineMs = 250;
/** It is waited for in steps: time in which a busy machine does not let this process run is not the folder's. */
const deadlineSteps = 10;

/** Where events are noted, beside whatever else goes on. */
export interface EventLog {
  /** Begins to write an event and returns at once. */
  add(subject: EventSubject, detail: EventDetail): void;
  /** Resolves once all is written, or its time is over. */
  settled(): Promise<void>;
  /** The same, and keeps no file open: for a program that goes on. More may be written later. */
  close(): Promise<void>;
}

/** For what is of no history: a site that wants none, a rank that joins another's run. */
export const noEvents: EventLog = {
  add: () => undefined,
  settled: async () => undefined,
  close: async () => undefined,
};

/** Who writes events. */
export interface EventWriter {
  /** The process that the events are of; else this one. */
  readonly pid?: number;
  /** The executable trainlock, which this process is if it is not named. Throws where there is none. */
  readonly program?: () => string;
}

/**
 * The events of this process, or of another one that it answers. What cannot be written is said once to `onProblem`. Where locks
 * are on a remote store, a folder that nothing else needs is not made for them.
 */
export function openEventLog(layout: Layout, onProblem: (text: string) => void, writer: EventWriter = {}): EventLog {
  // The claim that is about to be made may make the folder: only an event finds out.
  return layout.site.history ? new FileEventLog(layout, onProblem, writer) : noEvents;
}

export function keepsHistory({ lockDir, site, store }: Layout): boolean {
  return site.history && (store === null || existsSync(lockDir));
}

class FileEventLog implements EventLog {
  readonly #layout: Layout;
  readonly #lockDir: string;
  readonly #onProblem: (text: string) => void;
  readonly #pid: number;
  readonly #program: () => string;
  readonly #pending = new Set<Promise<void>>();
  #last: Promise<void> = Promise.resolve();
  /** Events that were not written in time. One that another process writes may be, still. */
  #late = 0;
  /** Events that are being written at this moment, late ones too. */
  #writing = 0;
  #complained = false;
  #file: OwnEventFile | null = null;

  constructor(layout: Layout, onProblem: (text: string) => void, { pid, program }: EventWriter) {
    this.#layout = layout;
    this.#lockDir = layout.lockDir;
    this.#onProblem = onProblem;
    this.#pid = pid ?? process.pid;
    this.#program = program ?? (() => process.execPath);
  }

  add(subject: EventSubject, detail: EventDetail): void {
    const at = new Date();
    const timeUp = new AbortController();
    // One after the other, and each only once what called for it has gone on.
    const writing = this.#last
      .then(() => new Promise<void>((resolve) => setImmediate(resolve)))
      .then(() => this.#append(at, subject, detail, timeUp.signal))
      .catch((error: unknown) => {
        // Where no lock was ever taken there is no folder for what was skipped, and it is not made for that.
        if (subject.token !== null || !isErrno(error, "ENOENT")) throw error;
        return "done";
      })
      .finally(() => {
        this.#writing -= 1;
      });
    this.#writing += 1;
    const bounded = this.#bounded(writing, timeUp);
    // One that is late keeps no other waiting.
    this.#last = bounded;
    this.#pending.add(bounded);
    void bounded.finally(() => this.#pending.delete(bounded));
  }

  async settled(): Promise<void> {
    await Promise.all(this.#pending);
    if (this.#late > 0) this.#complain(`its folder did not answer within ${deadlineMs} ms`);
  }

  async close(): Promise<void> {
    await this.settled();
    // Its descriptor must not become another file's while something is written to it.
    if (this.#writing > 0) return;
    const file = this.#file;
    this.#file = null;
    await file?.close().catch(() => undefined);
  }

  async #append(at: Date, subject: EventSubject, detail: EventDetail, giveUp: AbortSignal): Promise<string> {
    if (!keepsHistory(this.#layout)) return "done";
    const line = eventLine(at, subject, eventPlace(this.#pid), detail);
    const note = { path: ownEventFile(this.#lockDir, at), line, once: onceTexts(subject, detail) };
    if (!isOnOwnDisk(note.path)) return appendApart(note, giveUp, this.#program());
    const file = await this.#opened(note.path);
    const outcome = await file.append(line, note.once, giveUp);
    if (outcome !== "gone") return outcome;
    this.#file = null;
    return appendLine(note.path, callsAtOnce, line, note.once, giveUp);
  }

  async #opened(path: string): Promise<OwnEventFile> {
    const before = this.#file;
    if (before !== null && before.path === path) return before;
    this.#file = null;
    await before?.close();
    this.#file = await OwnEventFile.open(path, callsAtOnce);
    return this.#file;
  }

  async #bounded(writing: Promise<string>, timeUp: AbortController): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<"late">((resolve) => {
      const wait = (steps: number) => {
        timer = setTimeout(() => (steps > 1 ? wait(steps - 1) : resolve("late")), deadlineMs / deadlineSteps);
      };
      wait(deadlineSteps);
    });
    try {
      if ((await Promise.race([writing, late])) !== "late") return;
      timeUp.abort();
      this.#late += 1;
      void writing.then(
        (outcome) => {
          if (outcome === "done") this.#late -= 1;
        },
        (error: unknown) => this.#fail(error),
      );
    } catch (error) {
      this.#fail(error);
    } finally {
      clearTimeout(timer);
    }
  }

  #fail(error: unknown): void {
    // The runtime has no words for every error, and says "unknown error" then.
    this.#complain(messageOf(asSystemError("write an event below", this.#lockDir, error)));
  }

  #complain(why: string): void {
    if (this.#complained) return;
    this.#complained = true;
    this.#onProblem(`the history is not complete: ${why}`);
  }
}

/** A job that asks again and again is told of once. */
function onceTexts({ name }: EventSubject, detail: EventDetail): readonly string[] | null {
  if (detail.event !== "refused" && detail.event !== "skipped") return null;
  const { event, ...said } = detail;
  return [{ event }, { name }, said].map((part) => JSON.stringify(part).slice(1, -1));
}
