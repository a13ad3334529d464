// `node bench/plan.mjs`: the state of 10,000 rows over 10,000 folders, beside what people do for that today. A loop of `check` and
// GNU parallel take so long that they are given a part of the rows; their times are per 10,000 rows all the same.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { interleaved } from "./measure.mjs";
import { bun, python, trainlock } from "./programs.mjs";

const [strategies, models, part] = [100, 100, 100];
const rows = strategies * models;
const root = mkdtempSync(join(tmpdir(), "trainlock-plan-"));
process.on("exit", () => rmSync(root, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const names = [];
for (let strategy = 0; strategy < strategies; strategy += 1)
  for (let model = 0; model < models; model += 1) {
    const folder = join(root, `WEIGHTS/s${strategy}/d_cd/m${model}`);
    mkdirSync(folder, { recursive: true });
    if ((strategy + model) % 2 === 0) writeFileSync(join(folder, "iter_80000.pth"), Buffer.alloc(2048));
    names.push([`s${strategy}`, "D", `m${model}`]);
  }
const grid = join(root, "grid.csv");
writeFileSync(grid, `strategy,dataset,model\n${names.map((row) => `${row.join(",")}\n`).join("")}`);
const some = join(root, "some");
writeFileSync(
  some,
  names
    .slice(0, part)
    .map((row) => `${row.join(" ")}\n`)
    .join(""),
);
const joblog = join(root, "joblog");
const done = names.slice(0, part).map((_, nth) => `${nth + 1}\t:\t1700000000.000\t1.000\t0\t0\t0\t0\ttrue\n`);
writeFileSync(joblog, `Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n${done.join("")}`);

const rule = ["--done-when", "iter_80000.pth", "--scheduler", "none"];
const globs = `import glob, os
done = {os.path.dirname(path) for path in glob.glob("${root}/WEIGHTS/*/*_cd/*/iter_80000.pth")}
for folder in glob.glob("${root}/WEIGHTS/*/*_cd/*"):
    print(folder, folder in done, os.path.exists(folder + "/.training_lock"))`;
// What no program of this runtime can do without: each folder's names, and a look at each checkpoint.
const bare = `const { readdirSync, statSync } = require("node:fs");
for (let s = 0; s < ${strategies}; s += 1) for (let m = 0; m < ${models}; m += 1) {
  const folder = \`${root}/WEIGHTS/s\${s}/d_cd/m\${m}\`;
  if (readdirSync(folder).includes("iter_80000.pth")) statSync(folder + "/iter_80000.pth");
}`;
const check = `while read -r s d m; do "$0" check --root "$1" --strategy $s --dataset $d --model $m --done-when iter_80000.pth || :; done <"$2"`;
const whole = [
  { what: "trainlock list", argv: [trainlock, "list", "--root", root] },
  { what: "trainlock plan", argv: [trainlock, "plan", grid, "--root", root, ...rule] },
  { what: "each folder's names and checkpoint, by bun alone", argv: [bun, "-e", bare] },
  { what: "python3 glob", argv: [python, "-c", globs] },
];
const parts = [
  { what: "a loop of trainlock check", argv: ["bash", "-c", check, trainlock, root, some] },
  {
    what: "parallel --resume --joblog, all done",
    argv: ["parallel", "--will-cite", "--resume", "--joblog", joblog, "-a", some, "true"],
  },
];

const print = (results, times) => {
  for (const [what, { median }] of results) console.log(`${(median * times).toFixed(0).padStart(9)} ms  ${what}`);
};
console.log(`the state of ${rows} rows over as many folders, medians`);
print(interleaved(whole, { warmUps: 1, rounds: 9 }), 1);
print(interleaved(parts, { warmUps: 0, rounds: 3 }), rows / part);
