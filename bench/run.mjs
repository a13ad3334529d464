// `npm run bench`: trainlock side by side with what people use today, in one run on one machine. Prints medians and
// ratios and judges nothing: a time that is fine here means little elsewhere.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, loadavg, release, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { printColdStarts } from "./cold.mjs";
import { printEtcd } from "./etcd.mjs";
import { makeSite, printListing } from "./list-layouts.mjs";
import { interleaved, median } from "./measure.mjs";
import { bun, python, trainlock } from "./programs.mjs";
import { printPythonLocks } from "./python.mjs";
import { printTable } from "./table.mjs";
import { printWakeUps } from "./wake-up.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));

const rounds = 40;
const loops = 2000;
const folders = 10_000;
const locks = 200;

const root = mkdtempSync(join(tmpdir(), "trainlock-bench-"));
process.on("exit", () => rmSync(root, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const said = (file, ...args) => execFileSync(file, args, { encoding: "utf8" }).trim();
const fileSystem = said("findmnt", "--noheadings", "--output", "FSTYPE", "--target", root);
const freeGiB = Math.round((statfsSync(root).bavail * statfsSync(root).bsize) / 2 ** 30);
console.log(
  [
    `${availableParallelism()} cores (${cpus()[0]?.model.trim() ?? "unknown"}), load ${loadavg()[0]?.toFixed(1)}, Linux ${release()}`,
    `${fileSystem} at ${tmpdir()} (${freeGiB} GiB free)`,
    `Node ${process.versions.node}, Bun ${said(bun, "--version")}, ${said(python, "--version")} (${python})`,
    `medians of ${rounds} interleaved rounds; ratios are to the first row`,
  ].join("\n"),
);

const configuration = ["--root", root, "--strategy", "baseline", "--dataset", "IDD-AW", "--model", "deeplabv3plus_r50"];
// Both have been trained once: a lock file is there, as on any day but the first.
execFileSync(trainlock, ["run", ...configuration, "--", "true"]);
const lockFile = join(root, "flock.lock");
writeFileSync(lockFile, "");

const version = { what: "trainlock --version", argv: [trainlock, "--version"] };
printTable(
  "Is it free? (a process from start to end)",
  "ms",
  interleaved(
    [
      { what: "trainlock check", argv: [trainlock, "check", ...configuration] },
      version,
      { what: "flock -n FILE true", argv: ["flock", "-n", lockFile, "true"] },
      {
        what: "python3 lock_tool.py check",
        argv: [python, join(here, "peers/lock_tool.py"), "check", ...configuration],
      },
      { what: "python3 fcntl_check.py", argv: [python, join(here, "peers/fcntl_check.py"), ...configuration] },
      { what: "python3 -c 0", argv: [python, "-c", "0"] },
      { what: "node -e 0", argv: [process.execPath, "-e", "0"] },
    ],
    { rounds },
  ),
  version.what,
);

printTable(
  "Run a command under the lock (a process from start to end)",
  "ms",
  interleaved(
    [
      { what: "trainlock run -- true", argv: [trainlock, "run", ...configuration, "--", "true"] },
      version,
      { what: "flock FILE true", argv: ["flock", lockFile, "true"] },
      { what: "true", argv: ["true"] },
    ],
    { rounds },
  ),
  version.what,
);

printColdStarts();

printPythonLocks(root);

// Three processes a runtime, in turns: what one of them happens to compile well decides nothing.
const runtimes = { Node: process.execPath, Bun: bun };
const inProcess = { Node: [], Bun: [] };
for (let turn = 0; turn < 3; turn++) {
  for (const [name, file] of Object.entries(runtimes)) {
    const program = join(here, "acquire-release.mjs");
    inProcess[name].push(JSON.parse(said(file, program, join(root, name), String(loops))));
  }
}
const overTurns = (turns) => ({
  median: median(turns.map((turn) => turn.median)),
  quickest: Math.min(...turns.map((turn) => turn.quickest)),
});
for (const [name, results] of Object.entries(inProcess)) {
  const changes = "the same file changes alone";
  printTable(
    `Acquire and release in process, ${name} (3 × ${loops} in turns)`,
    "µs",
    new Map([
      ["TrainingLock", overTurns(results.map((result) => result.claim))],
      [changes, overTurns(results.map((result) => result.changes))],
    ]),
    changes,
  );
}

const farm = join(root, "farm");
for (let n = 0; n < folders; n++) {
  const folder = join(farm, "WEIGHTS", `strategy${n % 20}`, `dataset${Math.floor(n / 20) % 10}_cd`, `model${n}`);
  mkdirSync(folder, { recursive: true });
  if (n % (folders / locks) === 0) writeFileSync(join(folder, ".training_lock"), `${process.pid}\n`);
}
const find = ["find", join(farm, "WEIGHTS"), "-mindepth", "4", "-maxdepth", "4", "-name", ".training_lock"];
printTable(
  `List ${locks} locks in ${folders} weights folders (a process from start to end, warm cache)`,
  "ms",
  interleaved(
    [
      { what: "trainlock list", argv: [trainlock, "list", "--root", farm] },
      { what: "python3 lock_tool.py list", argv: [python, join(here, "peers/lock_tool.py"), "list", "--root", farm] },
      { what: "find -name .training_lock", argv: find },
    ],
    { rounds: 30 },
  ),
  "find -name .training_lock",
);

const site = join(root, "site");
mkdirSync(site);
makeSite(site);
printListing(site, "a process from start to end, warm cache");

await printWakeUps();
await printEtcd();
