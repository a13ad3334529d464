// `node bench/finished.mjs [ROUNDS]`: run, check and list on an empty site, and on one on which 10,000 configurations were
// trained, each with its lock file, its record and its checkpoint. The two take turns.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { interleaved } from "./measure.mjs";
import { trainlock } from "./programs.mjs";
import { printTable } from "./table.mjs";

const finished = 10_000;
const rounds = Number(process.argv[2] ?? 40);
const folder = mkdtempSync(join(tmpdir(), "trainlock-finished-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const configuration = (root, strategy, model) => [
  ...["--root", root, "--strategy", strategy],
  ...["--dataset", "IDD-AW", "--model", model],
];

function makeSite(name, count) {
  const root = join(folder, name);
  mkdirSync(root);
  execFileSync(trainlock, ["run", ...configuration(root, "past", "model0"), "--", "true"]);
  const record = readFileSync(join(root, "training_locks", "past_idd_aw_model0.lock"), "utf8");
  for (let n = 1; n < count; n += 1) {
    const own = record.replaceAll("model0", `model${n}`);
    const weightsDir = join(root, "WEIGHTS", "past", "idd-aw_cd", `model${n}`);
    mkdirSync(weightsDir, { recursive: true });
    writeFileSync(join(weightsDir, ".training_lock.json"), own);
    writeFileSync(join(weightsDir, "iter_100.pth"), "weights");
    writeFileSync(join(root, "training_locks", `past_idd_aw_model${n}.lock`), own);
  }
  return root;
}

const sites = { [`beside ${finished} finished`]: makeSite("lab", finished), "on an empty site": makeSite("empty", 1) };
const calls = {
  check: (root) => ["check", ...configuration(root, "new", "model")],
  "run -- true": (root) => ["run", ...configuration(root, "new", "model"), "--", "true"],
  list: (root) => ["list", "--root", root],
};
for (const [call, argumentsFor] of Object.entries(calls)) {
  const commands = Object.entries(sites).map(([what, root]) => ({ what, argv: [trainlock, ...argumentsFor(root)] }));
  const results = interleaved(commands, { rounds });
  printTable(`trainlock ${call} (a process from start to end)`, "ms", results, "on an empty site");
  if (call !== "list") continue;
  const [lab, empty] = [...results.values()];
  const each = ((lab.median - empty.median) * 1000) / finished;
  console.log(`  ${each.toFixed(1)} µs for each finished configuration`);
}
