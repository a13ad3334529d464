import { chmodSync, lstatSync, mkdirSync, type Stats, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";
import { EnvironmentError } from "../model/errors.ts";
import { errnoOf, isErrno } from "../system/libc/errno.ts";
import { sha256Hex } from "../system/sha256.ts";

/** sun_path of unix(7) has 108 bytes, the last of them NUL. */
const longestPath = 107;
const stickyBit = 0o1000;

/**
 * Where the socket of a board goes: a folder that this user alone can enter, and a name that stays the same for what it shows.
 * Throws an EnvironmentError where somebody else made the folder, or could replace it.
 */
export function socketPath(shows: string, env: Readonly<Record<string, string | undefined>> = process.env): string {
  const name = `board-${sha256Hex(shows).slice(0, 8)}.sock`;
  const path = join(runtimeFolder(env.XDG_RUNTIME_DIR) ?? privateFolder(), name);
  if (Buffer.byteLength(path) <= longestPath) return path;
  throw new EnvironmentError(`${path} is too long for a socket`, {
    code: "ERR_BOARD_FOLDER",
    hint: "set XDG_RUNTIME_DIR or TMPDIR to a shorter path",
  });
}

/** The user's own folder of this host; null where there is none. After `su` the variable may name another user's. */
function runtimeFolder(path: string | undefined): string | null {
  if (path === undefined || !isAbsolute(path)) return null;
  const stats = lstatSync(path, { throwIfNoEntry: false });
  return stats !== undefined && whyNotPrivate(stats) === null ? path : null;
}

function privateFolder(): string {
  const parent = tmpdir();
  const path = join(parent, `trainlock-${process.getuid?.()}`);
  const above = lstatSync(parent);
  const replaceable = (above.mode & 0o022) !== 0 && (above.mode & stickyBit) === 0;
  if (replaceable || (above.uid !== 0 && above.uid !== process.getuid?.()))
    throw refused(parent, "others can replace what is in it");
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!isErrno(error, "EEXIST")) throw refused(path, `cannot be made (${errnoOf(error) ?? String(error)})`);
  }
  const why = whyNotPrivate(lstatSync(path));
  if (why !== null) throw refused(path, why);
  return path;
}

function whyNotPrivate(stats: Stats): string | null {
  if (!stats.isDirectory()) return "is no folder";
  if (stats.uid !== process.getuid?.()) return `belongs to user ${stats.uid}, who may have made it first`;
  return (stats.mode & 0o077) === 0 ? null : `may be entered by others (mode ${(stats.mode & 0o777).toString(8)})`;
}

function refused(path: string, why: string): EnvironmentError {
  return new EnvironmentError(`no private folder for the board's socket: ${path} ${why}`, {
    code: "ERR_BOARD_FOLDER",
    hint: "set XDG_RUNTIME_DIR to a folder of your own with mode 0700",
  });
}

/** Makes way for a new socket: one that nobody listens at any more goes. Throws where a board is running there. */
export async function makeWay(path: string): Promise<void> {
  const stats = lstatSync(path, { throwIfNoEntry: false });
  if (stats === undefined) return;
  if (!stats.isSocket()) throw refused(dirname(path), `has something else at ${path}`);
  if (!(await answers(path))) {
    unlinkSync(path);
    return;
  }
  throw new EnvironmentError(`a board of the same grid is running already, at ${path}`, {
    code: "ERR_BOARD_RUNS",
    hint: "look at that one, or end it",
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const client = connect(path);
    const settle = (answer: boolean) => {
      client.destroy();
      resolve(answer);
    };
    client.on("connect", () => settle(true));
    client.on("error", () => settle(false));
  });
}

/** Runs `listen` so that nobody else can connect, not even in the moment before its mode is set: umask(2). */
export function listenPrivately<T>(path: string, listen: () => T): T {
  const before = process.umask(0o177);
  try {
    const result = listen();
    chmodSync(path, 0o600);
    return result;
  } finally {
    process.umask(before);
  }
}
