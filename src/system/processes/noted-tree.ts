import { unlinkSync } from "node:fs";
import { join } from "node:path";
import { parseJson } from "../../model/parse-json.ts";
import { isPid } from "../../model/pid.ts";
import { readRegularFile } from "../files/read-regular-file.ts";
import { writeByRename } from "../files/write-by-rename.ts";
import { asSystemError, isErrno } from "../libc/errno.ts";
import type { ProcessIdentity } from "./process-tree.ts";

/** What a wrapper noted of its command's process tree; docs/protocol.md, "The process tree". */
export interface NotedTree {
  readonly token: string;
  readonly bootId: string;
  readonly pidNamespace: number | null;
  readonly processes: readonly ProcessIdentity[];
  /** Each of them has the descriptor of the kernel lock, so that a free lock shows the end of all. */
  readonly allHoldLock: boolean;
}

/** More are not noted: a record is read by everybody. */
const mostNoted = 10_000;

const largestNoteBytes = 1024 * 1024;

/** Beside the owner record in the weights dir. */
export function notedTreePath(weightsDir: string): string {
  return join(weightsDir, ".training_lock.tree");
}

export function writeNotedTree(weightsDir: string, noted: NotedTree): void {
  writeByRename(notedTreePath(weightsDir), noteOf(noted));
}

/** The bytes of a note. */
export function noteOf(noted: NotedTree): Buffer {
  const { token, bootId, pidNamespace, processes, allHoldLock } = noted;
  const json = {
    token,
    boot_id: bootId,
    pid_namespace: pidNamespace,
    all_hold_lock: allHoldLock,
    processes: processes.slice(0, mostNoted).map(({ pid, startTimeTicks }) => ({
      pid,
      start_time_ticks: startTimeTicks,
    })),
  };
  return Buffer.from(`${JSON.stringify(json)}\n`);
}

/** Whose note is asked for: of that claim on that boot and in that PID namespace. */
type Noter = Pick<NotedTree, "token" | "bootId" | "pidNamespace">;

/** What is noted there for this claim on this boot and in this PID namespace; empty for anything else, whatever it holds. */
export function readNotedTree(weightsDir: string, of: Noter): ProcessIdentity[] {
  return processesIn(notedTreePath(weightsDir), of);
}

/** The same of a note in another file. */
export function processesIn(path: string, of: Noter): ProcessIdentity[] {
  const noted = readNote(path, of)?.processes;
  const processes: readonly unknown[] = Array.isArray(noted) ? noted.slice(0, mostNoted) : [];
  return processes.flatMap((each): ProcessIdentity[] => {
    if (!isObject(each)) return [];
    const { pid, start_time_ticks: startTimeTicks } = each;
    return typeof pid === "number" && isPid(pid) && typeof startTimeTicks === "number" ? [{ pid, startTimeTicks }] : [];
  });
}

/** Whether a note says that the training has processes without the kernel lock, or does not say that it has none. */
export function notesUnlocked(weightsDir: string, of: Noter): boolean {
  const note = readNote(notedTreePath(weightsDir), of);
  return note !== null && note.all_hold_lock !== true;
}

function readNote(path: string, { token, bootId, pidNamespace }: Noter): Readonly<Record<string, unknown>> | null {
  const file = readRegularFile(path, largestNoteBytes);
  const json = file.kind === "file" ? parseJson(file.bytes.toString("utf8")) : undefined;
  const isTheirs =
    isObject(json) && json.token === token && json.boot_id === bootId && json.pid_namespace === pidNamespace;
  return isTheirs ? json : null;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}

/** Removes what an earlier claim noted. Throws an EnvironmentError where the file system refuses. */
export function removeNotedTree(weightsDir: string): void {
  const path = notedTreePath(weightsDir);
  try {
    unlinkSync(path);
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw asSystemError("remove", path, error);
  }
}
