import { writeSync } from "node:fs";
import { parseJson } from "../model/parse-json.ts";
import type { RunStatus } from "../run/run-status.ts";

/** What a row's wrapper reports to the worker that started it. */
export type RowEvent =
  | { readonly kind: "held"; readonly generation: number; readonly log: string | null }
  | { readonly kind: "over"; readonly status: RunStatus; readonly stopSignal: NodeJS.Signals | null };

/** Begins a line that is an event and no message. */
const mark = "\x1e";

export function reportEvent(fd: number, event: RowEvent): void {
  try {
    writeSync(fd, `${mark}${JSON.stringify(event)}\n`);
  } catch {
    // The file is in the worker's own folder for temporary files: where that is full, the wrapper's end says the rest.
  }
}

/** The events and the messages that a wrapper has written until now; a line without its end is not read yet. */
export function readEvents(text: string): { readonly events: readonly RowEvent[]; readonly messages: string[] } {
  const lines = text.split("\n").slice(0, -1);
  const events = lines.flatMap((line) => {
    // The wrapper is this very program: what it writes has the shape that it was given.
    const event = line.startsWith(mark) ? (parseJson(line.slice(mark.length)) as RowEvent | undefined) : undefined;
    return event === undefined ? [] : [event];
  });
  return { events, messages: lines.filter((line) => !line.startsWith(mark) && line !== "") };
}
