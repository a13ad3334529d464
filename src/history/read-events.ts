import { join } from "node:path";
import { messageOf } from "../model/errors.ts";
import { parseJson } from "../model/parse-json.ts";
import { namesIn } from "../system/files/names-in.ts";
import { inTheWayOf } from "../system/files/nearest-existing.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { errnoOf } from "../system/libc/errno.ts";
import { historyFolder } from "./event-file.ts";

/** One event as it was found. Anybody may have written its text; its user is the file's owner. */
export class FoundEvent {
  readonly atMs: number;
  readonly event: string;
  readonly token: string | null;
  readonly uid: number;
  #line: string;
  #values: Readonly<Record<string, unknown>> | null | undefined;

  constructor(atMs: number, event: string, token: string | null, uid: number, line: string) {
    this.atMs = atMs;
    this.event = event;
    this.token = token;
    this.uid = uid;
    this.#line = line;
  }

  /** The rest, read when it is asked for; null: it makes no sense. */
  values(): Readonly<Record<string, unknown>> | null {
    if (this.#values === undefined) {
      this.#values = objectIn(this.#line);
      // A line is a part of its file's text, and keeps all of that.
      this.#line = "";
    }
    return this.#values;
  }
}

/** Takes the events of a site as they are read. */
export interface EventTaker {
  take(found: FoundEvent): void;
  /** The events of one file have been taken: they must not keep its text. */
  fileEnds(): void;
}

export interface EventReading {
  /** Lines that are no events. */
  readonly torn: number;
  /** Files that could not be read, with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
}

/** A file of one month, one host, one boot and one user. */
export interface EventFile {
  readonly path: string;
  /** `2026-11`. */
  readonly month: string;
}

const fileName = /^(\d{4}-\d{2})-[0-9a-f]{8}\.jsonl$/;
/** As `eventLine` writes it: what is not wanted is passed over by this alone. */
const lineHead =
  /\{"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)","event":"([a-z-]{1,20})","token":(?:"([0-9a-f]{32})"|null),/y;
const largestFileBytes = 1024 * 1024 * 1024;
const longestLine = 8192;
const dayMs = 86_400_000;

/** All files of a site's history. A folder that is not there has none. */
export function eventFiles(lockDir: string, onUnreadable: (path: string, why: string) => void): EventFile[] {
  const folder = historyFolder(lockDir);
  return sortedNamesIn(folder, onUnreadable).flatMap((owner) =>
    sortedNamesIn(join(folder, owner), onUnreadable).flatMap((name) => {
      const month = fileName.exec(name)?.[1];
      return month === undefined ? [] : [{ path: join(folder, owner, name), month }];
    }),
  );
}

function sortedNamesIn(folder: string, onUnreadable: (path: string, why: string) => void): string[] {
  try {
    const names = namesIn(folder);
    if (names !== null) return names.sort();
    // Writers cannot note anything there, or note it on other hosts alone: that nothing is found says nothing of runs.
    const inTheWay = inTheWayOf(folder);
    if (inTheWay !== null)
      onUnreadable(inTheWay.path, inTheWay.isLink ? "a link that leads nowhere on this host" : "a file, and no folder");
    return [];
  } catch (error) {
    onUnreadable(folder, errnoOf(error) ?? messageOf(error));
    return [];
  }
}

/** Which events are wanted, and what of them. */
export interface WantedEvents {
  /** Milliseconds since the epoch; null: from the beginning. */
  readonly sinceMs: number | null;
  /** Those of one configuration alone; null: of all. */
  readonly of?: string | null;
  /** False: nobody asks for the commands, which are a third of the text. */
  readonly commands?: boolean;
}

/**
 * Reads the events of a site, in no order. A clock that was wrong by up to a day makes no file be missed.
 */
export function readEvents(
  lockDir: string,
  taker: EventTaker,
  { sinceMs, of = null, commands = true }: WantedEvents,
): EventReading {
  const unreadable = new Map<string, string>();
  let torn = 0;
  const named = of === null || !/^[ !#-[\]-~]*$/.test(of) ? null : `"name":"${of}"`;
  const firstMonth = sinceMs === null ? "" : new Date(sinceMs - dayMs).toISOString().slice(0, 7);
  for (const { path, month } of eventFiles(lockDir, (at, why) => unreadable.set(at, why))) {
    if (month < firstMonth) continue;
    const file = readRegularFile(path, largestFileBytes);
    if (file.kind === "absent") continue;
    if (file.kind !== "file") {
      unreadable.set(path, file.why);
      continue;
    }
    torn += takeLines(file.bytes.toString("utf8"), Number(file.stats.uid), taker, { sinceMs, named, commands });
    taker.fileEnds();
  }
  return { torn, unreadable };
}

/** Returns how many lines are no events. `named`: what a line that is meant has in it; null: all are. */
function takeLines(
  text: string,
  uid: number,
  taker: EventTaker,
  wanted: { readonly sinceMs: number | null; readonly named: string | null; readonly commands: boolean },
): number {
  const { sinceMs, named, commands } = wanted;
  let torn = 0;
  for (let at = 0, end = 0; at < text.length; at = end + 1) {
    end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    // A name that JSON may spell in several ways is no such filter.
    if (end === at || (named !== null && !text.slice(at, end).includes(named))) continue;
    lineHead.lastIndex = at;
    const [, time = "", event = "", token = null] = lineHead.exec(text) ?? [];
    const atMs = Date.parse(time);
    if (Number.isNaN(atMs) || end - at > longestLine || text[end - 1] !== "}") torn += 1;
    else if (sinceMs === null || atMs >= sinceMs) {
      const line = text.slice(at, end);
      taker.take(new FoundEvent(atMs, event, token, uid, commands ? line : withoutCommand(line)));
    }
  }
  return torn;
}

/** Quotes within texts are escaped in JSON: this is a key, and what follows is the rest of its line unless another key does. */
function withoutCommand(line: string): string {
  const at = line.lastIndexOf(',"command":[');
  return at < 0 || !line.endsWith("]}") || line.includes('],"', at) ? line : `${line.slice(0, at)}}`;
}

function objectIn(line: string): Readonly<Record<string, unknown>> | null {
  const parsed = parseJson(line);
  return typeof parsed === "object" && parsed !== null ? (parsed as Readonly<Record<string, unknown>>) : null;
}
