import { closeSync, constants, lstatSync, openSync, readdirSync } from "node:fs";

/** A folder whose path is bytes that are no UTF-8, as it is reached and as it is shown. */
export interface ByteFolder {
  /** Through a descriptor of this process, for as long as it runs. */
  readonly alias: string;
  /** What is no text in it is escaped: `s\xff`. */
  readonly shown: string;
  readonly bytes: Buffer;
}

/** More are not opened: each takes a descriptor. */
const mostFolders = 200;
const known = new Map<string, ByteFolder>();

/** Why an entry cannot be looked at whose name is bytes that are no text. */
export const notUtf8 = "its name is not UTF-8";

/** Whether a name was read that leads nowhere, for it is not what stands there: bytes that are no UTF-8 were replaced in it. */
export function isUnreachable(path: string): boolean {
  try {
    return path.includes("\ufffd") && lstatSync(path, { throwIfNoEntry: false }) === undefined;
  } catch {
    return false;
  }
}

/** The folders that a name stands for that is unreachable, by the bytes of theirs. Links are not followed. */
export function foldersCalled(parent: string, name: string): readonly ByteFolder[] {
  const names = readdirSync(parent, { encoding: "buffer" }).filter((bytes) => bytes.toString("utf8") === name);
  return names.flatMap((bytes) => {
    const path = Buffer.concat([bytesOf(parent), Buffer.from("/"), bytes]);
    const before = known.get(path.toString("latin1"));
    if (before !== undefined) return [before];
    if (known.size >= mostFolders) return [];
    const here = Buffer.concat([Buffer.from(`${parent}/`), bytes]);
    let fd: number;
    try {
      fd = openSync(here, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
    } catch {
      return [];
    }
    const folder = { alias: `/proc/self/fd/${fd}`, shown: escaped(path), bytes: path };
    if (lstatSync(`${folder.alias}/`, { throwIfNoEntry: false }) === undefined) {
      closeSync(fd);
      return [];
    }
    known.set(path.toString("latin1"), folder);
    return [folder];
  });
}

function folderOf(path: string): ByteFolder | undefined {
  if (known.size === 0 || !path.startsWith("/proc/self/fd/")) return undefined;
  return [...known.values()].find(({ alias }) => path === alias || path.startsWith(`${alias}/`));
}

/** The bytes of a path, of one through such a folder too. */
function bytesOf(path: string): Buffer {
  const folder = folderOf(path);
  return folder === undefined
    ? Buffer.from(path)
    : Buffer.concat([folder.bytes, Buffer.from(path.slice(folder.alias.length))]);
}

/** A path as people see it, and its bytes where it is no text. */
export function shownPath(path: string): { readonly text: string; readonly bytes: Buffer | null } {
  const folder = folderOf(path);
  if (folder === undefined) return { text: path, bytes: null };
  return { text: folder.shown + path.slice(folder.alias.length), bytes: bytesOf(path) };
}

/** UTF-8 as it is, every other byte as `\xff`. */
function escaped(bytes: Buffer): string {
  let text = "";
  for (let at = 0; at < bytes.length; ) {
    const length = [1, 2, 3, 4].find((size) => !bytes.toString("utf8", at, at + size).includes("\ufffd"));
    text +=
      length === undefined ? `\\x${bytes[at]?.toString(16).padStart(2, "0")}` : bytes.toString("utf8", at, at + length);
    at += length ?? 1;
  }
  return text;
}
