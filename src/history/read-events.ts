import { join } from "node:path";
import { messageOf } from "../model/errors.ts";
import { parseJson } from "../model/parse-json.ts";
import { namesIn } from "../system/files/names-in.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { historyFolder } from "./event-file.ts";

/** One event as it was found. Anybody may have written its text; its user is the file's owner. */
export interface FoundEvent {
  readonly atMs: number;
  readonly event: string;
  readonly token: string | null;
  readonly uid: number;
  /** The rest, read when it is asked for; null: it makes no sense. */
  readonly values: () => Readonly<Record<string, unknown>> | null;
}

export interface EventReading {
  readonly events: readonly FoundEvent[];
  /** Lines that are none. */
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
  /^\{"at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)","event":"([a-z-]{1,20})","token":(?:"([0-9a-f]{32})"|null),/;
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
    return (namesIn(folder) ?? []).sort();
  } catch (error) {
    onUnreadable(folder, messageOf(error));
    return [];
  }
}

/**
 * The events of a site since then, in no order; `of`: those of one configuration alone. A clock that was wrong by up to a day
 * makes no file be missed.
 */
export function readEvents(lockDir: string, sinceMs: number | null, of: string | null = null): EventReading {
  const unreadable = new Map<string, string>();
  const events: FoundEvent[] = [];
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
    const uid = Number(file.stats.uid);
    for (const line of file.bytes.toString("utf8").split("\n")) {
      // A name that JSON may spell in several ways is no such filter.
      if (line === "" || (named !== null && !line.includes(named))) continue;
      const found = eventIn(line, uid);
      if (found === null) torn += 1;
      else if (sinceMs === null || found.atMs >= sinceMs) events.push(found);
    }
  }
  return { events, torn, unreadable };
}

function eventIn(line: string, uid: number): FoundEvent | null {
  const [, at, event, token = null] = lineHead.exec(line) ?? [];
  if (at === undefined || event === undefined || line.length > longestLine || !line.endsWith("}")) return null;
  const atMs = Date.parse(at);
  if (Number.isNaN(atMs)) return null;
  let values: Readonly<Record<string, unknown>> | null | undefined;
  return {
    atMs,
    event,
    token,
    uid,
    values: () => {
      values ??= objectIn(line);
      return values;
    },
  };
}

function objectIn(line: string): Readonly<Record<string, unknown>> | null {
  const parsed = parseJson(line);
  return typeof parsed === "object" && parsed !== null ? (parsed as Readonly<Record<string, unknown>>) : null;
}
