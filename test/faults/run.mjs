// npm run test:faults -- [ROUNDS] [--only WORD] [--compare]: every fault, so many rounds of each, and a row of a table for each;
// exit code 1 if a promise was broken. --compare: the same with `etcdctl lock`, which promises less, and a table for docs/etcd.md.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { beside } from "./beside.mjs";

const project = fileURLToPath(new URL("../..", import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { compare: { type: "boolean", default: false }, only: { type: "string", default: "" } },
});
const rounds = Number(positionals[0] ?? 3);
if (!(Number.isInteger(rounds) && rounds > 0)) {
  console.error(
    `usage: npm run test:faults -- [ROUNDS] [--only WORD] [--compare] (not ${JSON.stringify(positionals[0])})`,
  );
  process.exit(2);
}
const folder = mkdtempSync(join(tmpdir(), "trainlock-faults-"));
let child;
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => child?.kill(signal));

const ours = await tryAll("trainlock run");
const theirs = values.compare ? await tryAll("etcdctl lock") : null;
rmSync(folder, { recursive: true, force: true });

const columns = ["rounds", "claims", "longestOutageMs", "overlaps", "unguarded", "lost", "reclaimed"];
const titles = ["rounds", "claims", "outage ms", "overlaps", "unguarded", "lost", "reclaimed", "exit codes", "verdict"];
const rows = ours.rows.map((row) => [row.fault, ...columns.map((column) => row[column]), endings(row), verdict(row)]);
print([["fault", ...titles], ...rows]);
console.log(
  "\noutage: the longest time without an answer of the cluster. unguarded: commands that ran beside the next one, where all that\n" +
    "could have stopped them was stopped or killed, or their key removed by hand. exit codes: of those that held the lock, or could not ask for it (3).",
);
for (const { fault, told } of ours.rows) for (const line of told) console.log(`  ${fault}: ${line}`);
for (const { fault, violations } of ours.rows)
  for (const line of violations) console.log(`VIOLATED  ${fault}: ${line}`);
if (theirs !== null) {
  const table = beside(ours.rows, theirs.rows);
  console.log(`\n${table}`);
  writeInto(join(project, "docs", "etcd.md"), table);
}
process.exit(ours.ok && ours.rows.length > 0 ? 0 : 1);

/** Rows of all faults with one tool; what the tests say only if one failed. */
async function tryAll(tool) {
  const tally = join(folder, tool.replace(" ", "-"));
  writeFileSync(tally, "");
  const vitest = join(project, "node_modules", "vitest", "vitest.mjs");
  const only = values.only === "" ? [] : ["-t", values.only];
  const args = [vitest, "run", "--no-file-parallelism", "test/faults", ...only];
  const env = { ...process.env, TRAINLOCK_FAULTS: String(rounds), TRAINLOCK_FAULTS_WITH: tool, TRAINLOCK_TALLY: tally };
  child = spawn(process.execPath, args, { cwd: project, env, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      for (const line of text.split("\n")) if (/[✓×]|^skipped|short enough/.test(line)) console.log(line);
    });
  const code = await new Promise((resolve) => child.once("exit", resolve));
  if (code !== 0) console.log(output);
  return {
    ok: code === 0,
    rows: readFileSync(tally, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line)),
  };
}

function endings({ endings: counts }) {
  return Object.entries(counts)
    .map(([code, count]) => `${count}x ${code}`)
    .join(", ");
}

function verdict({ violations, rounds, tooLong }) {
  if (violations.length > 0) return "VIOLATED";
  return tooLong === 0 ? "kept" : `kept (${tooLong} of ${rounds} not counted)`;
}

function print(table) {
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => String(row[column]).length)));
  for (const row of table)
    console.log(
      row
        .map((cell, column) => String(cell).padEnd(widths[column]))
        .join("  ")
        .trimEnd(),
    );
}

/** Between the two comments that are there for it. */
function writeInto(path, table) {
  if (!existsSync(path)) return;
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace(/(<!-- measured -->\n)[\s\S]*?(<!-- end -->)/, `$1\n${table}\n\n$2`));
}
