// `node bench/cold.mjs [ROUNDS]`: what the first call on a host reads from the disk: bytes, and page faults that waited for them.
// Each round evicts the executable from the page cache: a copy that nobody else runs, or the other calls would keep its pages.
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "./measure.mjs";
import { python, trainlock } from "./programs.mjs";

/** Prints the bytes that were read, and the faults with and without a read, of one call on an evicted file. getrusage(2) */
const measured = `
import os, resource, subprocess, sys
file = os.open(sys.argv[1], os.O_RDONLY)
os.fsync(file)
os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
os.close(file)
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_inblock * 512, used.ru_majflt, used.ru_minflt)
`;

export function printColdStarts(rounds = 5) {
  const folder = mkdtempSync(join(tmpdir(), "trainlock-cold-"));
  try {
    const copy = join(folder, "trainlock");
    copyFileSync(trainlock, copy);
    const root = join(folder, "root");
    mkdirSync(root);
    const size = (bytes) => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
    console.log(`\nCold: nothing of the executable (${size(statSync(copy).size)}) is in memory (medians of ${rounds})`);
    const of = ["--root", root, "--strategy", "s", "--dataset", "d", "--model", "m"];
    for (const [what, args] of [
      ["trainlock list", ["list", "--root", root]],
      ["trainlock check", ["check", ...of]],
    ]) {
      const all = Array.from({ length: rounds }, () =>
        execFileSync(python, ["-c", measured, copy, ...args], { encoding: "utf8" })
          .split(" ")
          .map(Number),
      );
      const [bytes, major, minor] = [0, 1, 2].map((column) => median(all.map((row) => row[column])));
      console.log(`  ${what.padEnd(16)} reads ${size(bytes)}, ${major} faults that read, ${minor} that did not`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) printColdStarts(Number(process.argv[2] ?? 5));
