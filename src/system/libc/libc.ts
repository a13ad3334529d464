import { bunLibc } from "./libc-bun.ts";
import type { Libc } from "./libc-calls.ts";
import { koffiLibc } from "./libc-koffi.ts";

let loaded: Libc | undefined;

/** Loaded at first use: `--help` and `--version` need no C library. */
export function libc(): Libc {
  loaded ??= process.versions.bun === undefined ? koffiLibc() : bunLibc();
  return loaded;
}
