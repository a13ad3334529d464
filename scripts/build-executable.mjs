// Compiles src/cli/main.ts into dist/trainlock, one file that needs neither Node nor Bun nor a package folder.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const bun = join(dirname(createRequire(import.meta.url).resolve("bun/package.json")), "bin", "bun.exe");
const { version } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
const target = join(project, "dist", "trainlock");
// Renamed into place: a running job may be executing the old file.
const unfinished = `${target}.${process.pid}.new`;

mkdirSync(dirname(target), { recursive: true });
execFileSync(
  bun,
  [
    "build",
    "--compile",
    "--minify",
    "--bytecode",
    // A call reads the code of its own command alone: what the others need costs it nothing.
    "--splitting",
    "--format=esm",
    // Most calls end before compiled code would pay: the compiler begins ten times later.
    "--compile-jit-policy=10",
    // The executable starts in users' folders: their .env and bunfig.toml are not ours to read.
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    // An option of any kind lets the runtime start in a working folder that was removed. This one has no effect on us and costs
    // nothing; --no-deprecation cost 4 ms of every start.
    "--compile-exec-argv=--no-install",
    `--define=TRAINLOCK_VERSION=${JSON.stringify(version)}`,
    "--outfile",
    unfinished,
    join(project, "src", "cli", "main.ts"),
  ],
  { cwd: project, stdio: ["ignore", "ignore", "inherit"] },
);
ignoreUsersRuntimeSettings(unfinished);
renameSync(unfinished, target);

/**
 * Users of Bun set variables for it, and the runtime in the executable would obey: another program would run in trainlock's place,
 * or every call exit with 1, which says "locked". Here they have other names of the same length; src/cli/memory-limit.ts uses one.
 */
function ignoreUsersRuntimeSettings(path) {
  const bytes = readFileSync(path);
  for (const name of ["BUN_OPTIONS", "BUN_BE_BUN", "BUN_JSC_", "BUN_INSPECT"])
    replaceAll(bytes, Buffer.from(name), "TLR_");
  // The prefix of the engine's options is compared letter by letter: cmpb $'B',(%r14), then 1 to 7 bytes after it.
  const letters = [...Buffer.from("UN_JSC_")].map((letter, at) => [0x75, null, 0x41, 0x80, 0x7e, at + 1, letter]);
  const comparison = [0x3e, 0x42, ...letters.flat()];
  let patched = 0;
  for (let at = bytes.indexOf(comparison[1]); at > 0; at = bytes.indexOf(comparison[1], at + 1)) {
    if (!comparison.every((byte, offset) => byte === null || bytes[at - 1 + offset] === byte)) continue;
    for (const [index, letter] of [..."TLR"].entries()) bytes[at + 7 * index] = letter.charCodeAt(0);
    patched += 1;
  }
  writeFileSync(path, bytes);
  const env = { BUN_JSC_unknown: "1", BUN_OPTIONS: "--unknown", BUN_BE_BUN: "1", BUN_INSPECT: "1" };
  const said = execFileSync(path, ["--version"], { env, encoding: "utf8" });
  if (said.trim() !== version)
    throw new Error(`the runtime obeys its users' variables (${patched} comparisons changed)`);
}

function replaceAll(bytes, name, start) {
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 1)) bytes.write(start, at, "latin1");
}
