// Compiles src/cli/main.ts into one file that needs neither Node nor Bun nor a package folder. The same sources, commit and Bun
// make the same bytes.
//
//   node scripts/build-executable.mjs [--arch x64|arm64] [--runtime FILE] [--outfile FILE]
//
// --runtime: Bun's executable for another processor than this one's. Default: dist/trainlock for this processor.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { lookBeforeStart } from "./executable-entry.mjs";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const bun = join(dirname(createRequire(import.meta.url).resolve("bun/package.json")), "bin", "bun.exe");
const { version } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
const { values } = parseArgs({
  options: {
    arch: { type: "string", default: process.arch },
    runtime: { type: "string" },
    outfile: { type: "string", default: join(project, "dist", "trainlock") },
  },
});
const target = resolve(values.outfile);

mkdirSync(dirname(target), { recursive: true });
// The file's name becomes part of it: it is built in a folder of its own, and renamed into place, because a running job may be
// executing the old file.
const folder = mkdtempSync(join(dirname(target), ".build-"));
try {
  const built = join(folder, "trainlock");
  compile(built);
  ignoreUsersRuntimeSettings(built);
  const bytes = readFileSync(built);
  if (lookBeforeStart(bytes)) writeFileSync(built, bytes);
  renameSync(built, target);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function compile(outfile) {
  const { commit, date } = lastCommit();
  execFileSync(
    bun,
    [
      "build",
      "--compile",
      "--minify",
      // Its order (--bytecode-order) makes no difference: a cold list, check or run reads 97 MiB with it and without it.
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
      `--define=TRAINLOCK_COMMIT=${JSON.stringify(commit)}`,
      `--define=TRAINLOCK_COMMIT_DATE=${JSON.stringify(date)}`,
      ...(values.runtime === undefined
        ? []
        : [`--target=bun-linux-${values.arch}`, `--compile-executable-path=${resolve(values.runtime)}`]),
      "--outfile",
      outfile,
      join(project, "src", "cli", "main.ts"),
    ],
    { cwd: project, stdio: ["ignore", "ignore", "inherit"] },
  );
}

/** Of the sources, as far as git knows them: a packed source tree has none. */
function lastCommit() {
  try {
    const git = (...args) => execFileSync("git", args, { cwd: project, encoding: "utf8", stdio: "pipe" }).trim();
    const [commit, date] = git("log", "-1", "--format=%h %cs", "--abbrev=10").split(" ");
    const changed = git("status", "--porcelain", "--", "src", "scripts", "package.json", "package-lock.json") !== "";
    return { commit: changed ? `${commit} with changes` : commit, date };
  } catch {
    return { commit: "unknown", date: "unknown" };
  }
}

/**
 * Users of Bun set variables for it, and the runtime in the executable would obey: another program would run in trainlock's place,
 * or every call exit with 1, which says "locked". Here they have other names of the same length;
 * src/system/processes/caller.ts uses one.
 */
function ignoreUsersRuntimeSettings(path) {
  const bytes = readFileSync(path);
  for (const name of ["BUN_OPTIONS", "BUN_BE_BUN", "BUN_JSC_", "BUN_INSPECT"])
    replaceAll(bytes, Buffer.from(name), "TLR_");
  const patched = values.arch === "arm64" ? patchArm64(bytes) : patchX64(bytes);
  if (patched === 0) throw new Error("the comparison with BUN_JSC_ was not found: has the runtime changed?");
  writeFileSync(path, bytes);
  if (values.arch !== process.arch) return;
  const env = { BUN_JSC_unknown: "1", BUN_OPTIONS: "--unknown", BUN_BE_BUN: "1", BUN_INSPECT: "1" };
  const said = execFileSync(path, ["--version"], { env, encoding: "utf8" });
  if (!said.startsWith(`trainlock ${version} `))
    throw new Error(`the runtime obeys its users' variables (${patched} comparisons changed)`);
}

function replaceAll(bytes, name, start) {
  for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + 1)) bytes.write(start, at, "latin1");
}

/** The prefix of the engine's options is compared letter by letter: cmpb $'B',(%r14), then 1 to 7 bytes after it. */
function patchX64(bytes) {
  const letters = [...Buffer.from("UN_JSC_")].map((letter, at) => [0x75, null, 0x41, 0x80, 0x7e, at + 1, letter]);
  const comparison = [0x3e, 0x42, ...letters.flat()];
  let patched = 0;
  for (let at = bytes.indexOf(comparison[1]); at > 0; at = bytes.indexOf(comparison[1], at + 1)) {
    if (!comparison.every((byte, offset) => byte === null || bytes[at - 1 + offset] === byte)) continue;
    for (const [index, letter] of [..."TLR"].entries()) bytes[at + 7 * index] = letter.charCodeAt(0);
    patched += 1;
  }
  return patched;
}

/** The same on ARM: `cmp wN, #letter` eight times, a few instructions apart. */
function patchArm64(bytes) {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / 4));
  const letters = [...Buffer.from("BUN_JSC_")];
  const compares = (word, letter) => (word & 0xff_ff_fc_1f) >>> 0 === (0x71_00_00_1f | (letter << 10)) >>> 0;
  let patched = 0;
  for (let start = 0; start < words.length; start += 1) {
    if (!compares(words[start], letters[0])) continue;
    const found = [start];
    for (const letter of letters.slice(1)) {
      const from = found.at(-1) + 1;
      const next = words.subarray(from, from + 12).findIndex((word) => compares(word, letter));
      if (next < 0) break;
      found.push(from + next);
    }
    if (found.length < letters.length) continue;
    for (const [index, letter] of [..."TLR"].entries())
      words[found[index]] = ((words[found[index]] & ~(0xff_f << 10)) | (letter.charCodeAt(0) << 10)) >>> 0;
    patched += 1;
  }
  return patched;
}
