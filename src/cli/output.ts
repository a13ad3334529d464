import { fstatSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { asSystemError, errnoOf, isErrno } from "../system/libc/errno.ts";
import { collectGarbageOf } from "../system/processes/collect-garbage.ts";

/** All of `text`, at once: the process may exit right after. A reader that has gone (`| head`) is no fault of ours. */
function writeAll(fd: number, text: string): void {
  const size = Buffer.byteLength(text);
  // One call writes nearly every text, and then no bytes have to be made of it.
  let bytes: Buffer | undefined;
  for (let done = 0; done < size; ) {
    try {
      if (done > 0) bytes ??= Buffer.from(text);
      done += bytes === undefined ? writeSync(fd, text) : writeSync(fd, bytes, done);
    } catch (error) {
      if (isErrno(error, "EPIPE", "EBADF")) return;
      if (!isErrno(error, "EAGAIN", "EINTR")) throw error;
      // A pipe that somebody made non-blocking and that is full: wait for its reader.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}

/** Whether a descriptor is a terminal. A pipe or a file is none, and then the 3 ms to load the runtime's terminals are saved. */
export function isTerminal(fd: 1 | 2): boolean {
  try {
    if (!fstatSync(fd).isCharacterDevice()) return false;
  } catch {
    return false;
  }
  const tty: typeof import("node:tty") = createRequire(import.meta.url)("node:tty");
  return tty.isatty(fd);
}

let hasPrinted = false;

/** Whether a result has been written: what follows must not be a second JSON document. */
export function hasResult(): boolean {
  return hasPrinted;
}

/** Results. */
export function print(text: string): void {
  hasPrinted = true;
  try {
    writeAll(1, text);
  } catch (error) {
    throw asSystemError("write to", "standard output", error);
  }
}

/** Messages. */
export function say(text: string): void {
  try {
    writeAll(2, `${text}\n`);
  } catch (error) {
    // A message that cannot be delivered must not stop a job whose results can.
    if (errnoOf(error) === undefined) throw error;
  }
}

/** A message that takes the place of the one before, on a terminal; cut to its width, since a second line would stay. */
export function sayInPlace(text: string): void {
  const width = Math.max(20, (process.stderr.columns ?? 80) - 1);
  const shown = [...text];
  writeAll(2, `\r${shown.length > width ? `${shown.slice(0, width - 1).join("")}…` : text}\x1b[K`);
}

/** Characters that JSON may carry as they are, and that a terminal would still act upon. */
const unprintable = /[\u007f-\u009f\u2028\u2029\p{Cf}]/gu;

export function printJson(value: unknown): void {
  print(`${jsonText(value)}\n`);
}

function jsonText(value: unknown): string {
  const units = (text: string) =>
    text.split("").map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return JSON.stringify(value, null, 2).replace(unprintable, (text) => units(text).join(""));
}

/** The text of 100,000 rows is made for so many at a time: all of it, and what it is made of, would be several copies of 70 MB. */
const rowsAtOnce = 1000;
const rowsBetweenCollections = 5_000;

/** The same for a document with `rows` as its last key. */
export function printJsonRows<T>(head: object, rows: readonly T[], jsonOf: (row: T) => unknown): void {
  if (rows.length === 0) {
    printJson({ ...head, rows: [] });
    return;
  }
  print(jsonText({ ...head, rows: [] }).slice(0, -"]\n}".length));
  for (let at = 0; at < rows.length; at += rowsAtOnce) {
    // The lines between the brackets, one level deeper than an array has them by itself.
    const lines = jsonText({ rows: rows.slice(at, at + rowsAtOnce).map(jsonOf) });
    const text = lines.slice('{\n  "rows": ['.length, -"\n  ]\n}".length);
    print(at + rowsAtOnce < rows.length ? `${text},` : text);
    if ((at + rowsAtOnce) % rowsBetweenCollections === 0) collectGarbageOf(rows.length);
  }
  print("\n  ]\n}\n");
}
