import { bunFfi } from "../libc/libc-bun.ts";
import { readProcText } from "./proc-files.ts";

let madvise: ((start: bigint, length: bigint, advice: number) => number) | undefined;

/** MADV_DONTNEED of sys/mman.h. */
const dontNeed = 4;

/**
 * Returns to the system the pages of the executable that were needed to start: a wrapper that waits has 27 MB resident in
 * place of 55. What is needed again comes from the page cache. Only code, and the constants at the start of the file: neither
 * is ever written to, so nothing can be lost (madvise(2)).
 */
export function dropStartUpCode(): void {
  const code = codeOf(process.execPath);
  if (code.length === 0) return;
  madvise ??= bunFfi().dlopen("libc.so.6", { madvise: { args: ["u64", "u64", "i32"], returns: "i32" } }).symbols
    .madvise;
  for (const { start, end } of code) madvise(start, end - start, dontNeed);
}

interface Mapping {
  readonly start: bigint;
  readonly end: bigint;
}

/** The mappings of a file's code and constants in this process, proc_pid_maps(5). */
function codeOf(path: string): Mapping[] {
  return (readProcText("/proc/self/maps") ?? "").split("\n").flatMap((line) => {
    const [, start, end, file] =
      /^([0-9a-f]+)-([0-9a-f]+) (?:r-xp [0-9a-f]+|r--p 0+) \S+ [1-9]\d* +(.*)$/.exec(line) ?? [];
    return file === path && start !== undefined && end !== undefined
      ? [{ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`) }]
      : [];
  });
}
