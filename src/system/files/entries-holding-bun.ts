import { closeSync, constants, openSync } from "node:fs";
import { constants as systemConstants } from "node:os";
import { systemError } from "../libc/errno.ts";
import { bunFfi } from "../libc/libc-bun.ts";
import { type Collected, type EntriesHolding, kindAt, lookInto, type Wanted } from "./look-into.ts";

/** Numbers in the system call table: glibc has a wrapper for getdents64 only since 2.30. */
const numbers = process.arch === "arm64" ? { getdents64: 61, readlinkat: 78 } : { getdents64: 217, readlinkat: 267 };
/** DT_UNKNOWN, DT_DIR and DT_LNK of readdir(3): some network file systems leave the type out. */
const typeUnknown = 0;
const typeFolder = 4;
const typeLink = 10;
const dot = 46;
/** Offsets in struct linux_dirent64, getdents(2). */
const lengthAt = 16;
const typeAt = 18;
const nameAt = 19;
const bufferBytes = 64 * 1024;

let loaded: ReturnType<typeof load> | undefined;

function load() {
  const ffi = bunFfi();
  const { symbols } = ffi.dlopen("libc.so.6", {
    syscall: { args: ["i32", "i32", "ptr", "u64", "i32"], returns: "i32" },
    __errno_location: { args: [], returns: "ptr" },
  });
  const entries = Buffer.alloc(bufferBytes);
  const name = Buffer.alloc(8192);
  const target = Buffer.alloc(8);
  const location = symbols.__errno_location();
  const errno = location === null ? new Int32Array(1) : new Int32Array(ffi.toArrayBuffer(location, 0, 4));
  return {
    call: symbols.syscall,
    errno,
    entries,
    name,
    pointers: { entries: ffi.ptr(entries), name: ffi.ptr(name), target: ffi.ptr(target) },
  };
}

/**
 * By the system's own calls, into buffers of its own. A list of 100,000 empty folders takes 0.50 s this way and 0.75 s by the
 * runtime's calls, which make a string and an exception for each (medians of 11 pairs; at 10,000 folders there is no
 * difference to be seen).
 */
export function bunEntriesHolding(folder: string, wanted: Wanted): EntriesHolding {
  loaded ??= load();
  const { call, errno, entries, name, pointers } = loaded;
  const tail = Buffer.from(`/${[...wanted.within, wanted.file].join("/")}\0`);
  const found: Collected = { names: [], links: [], closed: [] };
  const fd = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    for (;;) {
      const filled = call(numbers.getdents64, fd, pointers.entries, bufferBytes, 0);
      if (filled < 0) throw systemError("list", folder, "EIO");
      if (filled === 0) return found;
      for (let at = 0; at < filled; at += (entries[at + lengthAt] ?? 0) | ((entries[at + lengthAt + 1] ?? 0) << 8)) {
        const type = entries[at + typeAt];
        if (type !== typeFolder && type !== typeUnknown && type !== typeLink) continue;
        const start = at + nameAt;
        let length = 0;
        // By hand: for so few bytes, a call to copy them takes longer than they do.
        for (let byte = entries[start]; byte !== 0 && byte !== undefined; byte = entries[start + length]) {
          name[length] = byte;
          length += 1;
        }
        if (name[0] === dot && (length === 1 || (length === 2 && name[1] === dot))) continue;
        if (type !== typeFolder) {
          const text = entries.toString("utf8", start, start + length);
          if (type === typeLink || kindAt(`${folder}/${text}`) === "link") {
            found.links.push(text);
            continue;
          }
        }
        for (let index = 0; index < tail.length; index += 1) name[length + index] = tail[index] ?? 0;
        const end = start + length;
        // The cheapest question there is: EINVAL says that it is there, and no link (readlink(2)).
        const isLink = call(numbers.readlinkat, fd, pointers.name, pointers.target, 1) >= 0;
        if (isLink || errno[0] !== systemConstants.errno.ENOENT)
          lookInto(folder, entries.toString("utf8", start, end), wanted, found);
      }
    }
  } finally {
    closeSync(fd);
  }
}
