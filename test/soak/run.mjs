// npm run test:soak -- MINUTES: the proof tests, longer and with nothing left out, again and again until the time is over.
// Prints what was tried; exit code 1 as soon as anything fails.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("../..", import.meta.url));
const minutes = Number(process.argv[2] ?? 30);
if (!(minutes > 0)) {
  console.error(`usage: npm run test:soak -- MINUTES (not ${JSON.stringify(process.argv[2])})`);
  process.exit(2);
}
if (!existsSync(join(project, "dist", "trainlock")) || !existsSync(join(project, "dist", "lib", "index.js"))) {
  console.error("dist/ is not there: npm run build");
  process.exit(2);
}

const steps = [
  ["crash at every system call", "test/crash/crash-at-every-call.test.ts"],
  ["mixed fleet", "test/races/mixed-fleet.test.ts"],
  ["64 contenders through the library", "test/races/library-contenders.test.ts"],
  ["errors at every system call", "test/crash/error-at-every-call.test.ts"],
  ["64 contenders through the executable", "test/races/executable-contenders.test.ts"],
  ["records cut short", "test/crash/short-records.test.ts"],
  ["every interleaving of a model", "test/properties/no-two-holders.test.ts"],
  ["Python contenders", "test/python/races.test.ts"],
  ["Python programs killed at every call", "test/python/crash.test.ts"],
  ["Python programs that take a lock 1,000 times", "test/python/holding.test.ts"],
  ["locks taken away under their holders", "test/races/taken-from-under.test.ts"],
];

const words = {
  crashPoints: "crash points",
  errorsInjected: "errors injected",
  recordsCut: "records cut short",
  rounds: "rounds (holdings that others contended for)",
  attempts: "attempts",
  takeovers: "takeovers of stale locks",
  kills: "kills",
  stops: "stops and continues",
  lockFilesLost: "lock files or markers unlinked under a claim by old tools",
  overlaps: "overlaps of trainlock claims",
  oldWritersOverlaps: "overlaps of old writers with one another",
  statesExplored: "states of the model explored",
  schedules: "random schedules of the model",
};

const folder = mkdtempSync(join(tmpdir(), "trainlock-soak-"));
const tallyPath = join(folder, "tally");
writeFileSync(tallyPath, "");
const startedAt = Date.now();
const deadline = startedAt + minutes * 60_000;
const failed = [];
let passes = 0;

let child;
for (const signal of ["SIGINT", "SIGTERM"]) {
  process.on(signal, () => {
    child?.kill(signal);
    report();
    rmSync(folder, { recursive: true, force: true });
    process.exit(130);
  });
}

over: for (; ; passes++) {
  for (const [title, file] of steps) {
    if (Date.now() >= deadline) break over;
    console.log(`\n== ${title} (after ${elapsed()}) ==`);
    if (!(await runTests(file))) failed.push(`${title}: ${file}`);
    if (failed.length > 0) break over;
  }
}
report();
rmSync(folder, { recursive: true, force: true });
process.exit(failed.length === 0 ? 0 : 1);

function runTests(file) {
  const vitest = join(project, "node_modules", "vitest", "vitest.mjs");
  const env = { ...process.env, TRAINLOCK_SOAK: "1", TRAINLOCK_SOAK_PASS: String(passes), TRAINLOCK_TALLY: tallyPath };
  child = spawn(process.execPath, [vitest, "run", file], { cwd: project, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  const show = (text) => {
    output += text;
    // What the tests say of themselves; the rest only if something fails.
    for (const line of text.split("\n"))
      if (
        /^(\x1b\[[0-9;]*m)*(crash points|errors|rounds|chaos|takeovers|mixed fleet| {2}|.*states$)/.test(line) &&
        !/[✓↓❯]/.test(line)
      )
        console.log(line);
  };
  child.stdout.setEncoding("utf8").on("data", show);
  child.stderr.setEncoding("utf8").on("data", show);
  return new Promise((resolve) => {
    child.on("exit", (code) => {
      if (code !== 0) console.log(output);
      resolve(code === 0);
    });
  });
}

function elapsed() {
  return `${((Date.now() - startedAt) / 60_000).toFixed(1)} min`;
}

function report() {
  const sums = {};
  for (const line of readFileSync(tallyPath, "utf8").split("\n").filter(Boolean)) {
    for (const [key, value] of Object.entries(JSON.parse(line))) sums[key] = (sums[key] ?? 0) + value;
  }
  console.log(`\n== tried in ${elapsed()}, ${passes} whole passes ==`);
  for (const [key, word] of Object.entries(words)) {
    if (sums[key] !== undefined) console.log(`${String(sums[key]).padStart(10)}  ${word}`);
  }
  for (const each of failed) console.log(`FAILED  ${each}`);
}
