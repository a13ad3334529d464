import { spawnSync } from "node:child_process";
import { mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { ProgressReader } from "../../src/progress/progress-reader.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

/** Writes files below a folder; returns the names in it, as a plan sees them. */
function fill(folder: string, files: Readonly<Record<string, string | Buffer>>): string[] {
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), content);
  }
  return [...new Set(Object.keys(files).map((path) => path.split("/")[0] ?? ""))];
}

const lines = (...values: readonly (object | string)[]) =>
  values.map((value) => `${typeof value === "string" ? value : JSON.stringify(value)}\n`).join("");

/** As Hugging Face's Trainer writes it, `json.dumps(…, indent=2, sort_keys=True)`. */
const trainerState = (step: number, of: number, history = 1) =>
  `{\n  "epoch": 0.5,\n  "global_step": ${step},\n  "log_history": [\n${Array.from({ length: history }, (_, at) => `    {\n      "global_step": 7,\n      "loss": 1.5,\n      "step": ${at}\n    }`).join(",\n")}\n  ],\n  "max_steps": ${of},\n  "total_flos": 1e+17\n}\n`;

const when = ["iter_80000.pth"];
type Case = readonly [what: string, files: Record<string, string>, expected: [number, number | null, string] | null];

const cases: readonly Case[] = [
  ["checkpoints, by number", { "iter_9000.pth": "", "iter_40000.pth": "" }, [40_000, 80_000, "iter_40000.pth"]],
  ["epochs beside a rule in iterations", { "epoch_3.pth": "" }, [3, null, "epoch_3.pth"]],
  ["last_checkpoint", { last_checkpoint: "/else/where/iter_300.pth" }, [300, 80_000, "last_checkpoint"]],
  [
    "scalars of the newest run of mmengine, its last line half written, a validation before that, and a loss without a value",
    {
      "20240101_101010/vis_data/scalars.json": lines({ iter: 70_000, step: 70_000 }),
      "20240102_101010/vis_data/scalars.json": `${lines(
        { lr: 0.01, loss: 2.5, iter: 50, step: 50 },
        '{"lr": 0.01, "loss": NaN, "worst": -Infinity, "iter": 4100, "memory": 7, "step": 4100}',
        { mIoU: 33.1, step: 4100 },
      )}{"lr": 0.01, "iter": 99`,
      "iter_4000.pth": "",
    },
    [4100, 80_000, "20240102_101010/vis_data/scalars.json"],
  ],
  [
    "a log that ends before the checkpoint from which the run went on",
    { "20240101_101010/vis_data/scalars.json": lines({ iter: 50, step: 50 }), "iter_4000.pth": "" },
    [4000, 80_000, "iter_4000.pth"],
  ],
  [
    "the newest version of Lightning",
    {
      "lightning_logs/version_9/metrics.csv": "epoch,step\r\n0,9\r\n",
      "lightning_logs/version_10/metrics.csv":
        "epoch,step,train_loss,val_loss\r\n0,49,0.5,\r\n1,99,nan,\r\n1,149,,0.25\r\n2,19",
    },
    [149, 80_000, "lightning_logs/version_10/metrics.csv"],
  ],
  ["metrics.csv beside the checkpoints", { "metrics.csv": "epoch,loss,step\n0,0.1,20\n" }, [20, 80_000, "metrics.csv"]],
  [
    "the furthest checkpoint of a Trainer, with a history of a megabyte",
    {
      "checkpoint-500/trainer_state.json": trainerState(500, 2000),
      "checkpoint-1500/trainer_state.json": trainerState(1500, 2000, 20_000),
    },
    [1500, 2000, "checkpoint-1500/trainer_state.json"],
  ],
  ["nothing that is known", { "notes.txt": "iter 3/4", "iter_x.pth": "" }, null],
];

test.each(cases)("progress is read from %s", async (_, files, expected) => {
  const folder = await temporaryRoot();
  const names = fill(folder, files);
  const progress = new ProgressReader(null).read(folder, names, when);
  expect(progress === null ? null : [progress.step, progress.of, progress.source]).toEqual(expected);
});

test("of a run in epochs, the complete ones count where the rule is in epochs", async () => {
  const folder = await temporaryRoot();
  const names = fill(folder, { "vis_data/scalars.json": lines({ epoch: 3, iter: 650, step: 650 }) });
  expect(new ProgressReader(null).read(folder, names, ["epoch_12.pth"])).toMatchObject({ step: 2, of: 12 });
  expect(new ProgressReader(null).read(folder, names, when)).toMatchObject({ step: 650, of: 80_000 });
});

requiresPrograms("python3")("what Python's own writers of JSON and CSV leave is read", async () => {
  const folder = await temporaryRoot();
  const program = `
import csv, json, os, sys
os.chdir(sys.argv[1])
os.makedirs("20240101_000000/vis_data"); os.makedirs("version_0"); os.makedirs("checkpoint-9")
with open("20240101_000000/vis_data/scalars.json", "w") as f:
    for step in range(1, 3000):
        f.write(json.dumps({"lr": 1e-3 / step, "loss": float("nan"), "iter": step, "step": step}) + "\\n")
with open("version_0/metrics.csv", "w", newline="") as f:
    writer = csv.DictWriter(f, fieldnames=["epoch", "loss", "step"])
    writer.writeheader()
    writer.writerows({"epoch": step // 100, "loss": float("inf"), "step": step} for step in range(9000))
with open("checkpoint-9/trainer_state.json", "w") as f:
    f.write(json.dumps({"max_steps": 10, "global_step": 9, "log_history": [{"step": n} for n in range(9999)]}, indent=2, sort_keys=True))
`;
  expect(spawnSync("python3", ["-c", program, folder]).status).toBe(0);
  const read = (name: string) => new ProgressReader(null).read(folder, [name], when);
  expect(read("20240101_000000")).toMatchObject({ step: 2999, of: 80_000 });
  expect(read("version_0")).toMatchObject({ step: 8999 });
  expect(read("checkpoint-9")).toMatchObject({ step: 9, of: 10 });
});

const huge = Buffer.alloc(200_000, "x");
const hostile: readonly [string, Record<string, string | Buffer>][] = [
  [
    "a line longer than what is read",
    { "vis_data/scalars.json": Buffer.concat([Buffer.from('{"iter": 1, "a": "'), huge]) },
  ],
  [
    "NUL bytes",
    { "vis_data/scalars.json": Buffer.alloc(5000), "metrics.csv": Buffer.alloc(99), last_checkpoint: "\0" },
  ],
  [
    "steps that are none",
    {
      "vis_data/scalars.json": lines(
        '{"iter": NaN, "step": NaN}',
        { iter: -1, step: -1 },
        { iter: 1.5, step: 1.5 },
        { iter: "5x", step: [] },
        '{"iter": 1e400, "step": 1e400}',
        { iter: 1e18, step: 1e18 },
        "[]",
        "null",
      ),
      "metrics.csv": "step\nnan\n-3\n1e999\n9999999999999999999\n",
      "trainer_state.json": '{\n  "global_step": -5,\n  "max_steps": 10\n}\n',
    },
  ],
  [
    "objects a thousand levels deep",
    { "vis_data/scalars.json": `{"a":${"[".repeat(60_000)}\n`, last_checkpoint: "{".repeat(9) },
  ],
  ["nothing but spaces", { "a.csv": Buffer.alloc(60_000, " "), "metrics.csv": `step\n${"1 ".repeat(30_000)}` }],
  ["a header without an end", { "metrics.csv": Buffer.concat([Buffer.from("step"), huge]) }],
];

test.each(hostile)("%s in a log are no progress, and no failure", async (_, files) => {
  const folder = await temporaryRoot();
  expect(
    new ProgressReader({ file: "*.csv", line: "Iter {step}/{of}" }).read(folder, fill(folder, files), when),
  ).toBeNull();
});

requiresPrograms("mkfifo")(
  "links, FIFOs and folders in the place of a log are not followed, opened or waited for",
  async () => {
    const folder = await temporaryRoot();
    const elsewhere = await temporaryRoot();
    fill(elsewhere, {
      "scalars.json": lines({ iter: 5, step: 5 }),
      "vis_data/scalars.json": lines({ iter: 5, step: 5 }),
    });
    mkdirSync(join(folder, "vis_data"));
    symlinkSync(join(elsewhere, "scalars.json"), join(folder, "vis_data", "scalars.json"));
    symlinkSync(elsewhere, join(folder, "20240101_000000"));
    spawnSync("mkfifo", [join(folder, "metrics.csv"), join(folder, "last_checkpoint")]);
    mkdirSync(join(folder, "train.log"));
    const names = ["vis_data", "20240101_000000", "metrics.csv", "last_checkpoint", "train.log"];
    expect(new ProgressReader({ file: "train.log", line: "{step}" }).read(folder, names, when)).toBeNull();
  },
);

test("a site says where its own logs are, and how their lines look; the log written last counts", async () => {
  const folder = await temporaryRoot();
  const log = (first: number) =>
    `start\nIter(train) [   ${first}/20000]  loss: 3\nIter(train) [  250/20000] nan\nEpoch 3/4\nIter(train) [ 26`;
  const names = fill(folder, { "logs/a.log": log(50), "logs/b.log": "Iter(train) [ 9/20000]\n", "logs/c.txt": "" });
  utimesSync(join(folder, "logs", "b.log"), 1000, 1000);
  const declared = { file: "logs/*.log", line: "Iter(train) [{step}/{of}]" };
  expect(new ProgressReader(declared).read(folder, names, when)).toMatchObject({
    step: 250,
    of: 20_000,
    source: "logs/a.log",
  });
  expect(new ProgressReader({ file: "logs/../../x", line: "{step}" }).read(folder, names, when)).toBeNull();
});

test("a file is read at most every half minute, whoever asks", async () => {
  const folder = await temporaryRoot();
  const write = (step: number) => fill(folder, { "vis_data/scalars.json": lines({ iter: step, step }) });
  let nowMs = 0;
  const reader = new ProgressReader(null, () => nowMs);
  const names = write(1);
  const stepAt = (ms: number) => {
    nowMs = ms;
    return reader.read(folder, names, when)?.step;
  };
  expect(stepAt(0)).toBe(1);
  write(2);
  expect(stepAt(29_000)).toBe(1);
  expect(stepAt(30_000)).toBe(2);
  truncateSync(join(folder, "vis_data", "scalars.json"));
  expect([stepAt(59_000), stepAt(60_000)]).toEqual([2, undefined]);
});

test("plan shows how far a running row is, since when it is quiet, and never calls it stale for that", async () => {
  const root = await temporaryRoot();
  writeFileSync(join(root, "trainlock.yaml"), 'progress: { file: own.log, line: "step {step} of {of}" }\n');
  const flags = ["--root", root, "--strategy", "s", "--dataset", "D", "--model", "m"];
  await holdWithRun(flags);
  const folder = join(root, "WEIGHTS", "s", "d_cd", "m");
  fill(folder, { "own.log": "step 12 of 40\n", "iter_10.pth": "" });
  const hoursAgo = Date.now() / 1000 - 3 * 3600 - 60;
  utimesSync(join(folder, "own.log"), hoursAgo, hoursAgo);
  const { stdout } = await trainlock(["plan", ...flags, "--json"]);
  expect(JSON.parse(stdout).rows[0]).toMatchObject({
    state: "running",
    progress: { step: 12, of: 40, source: "own.log", at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/) },
  });
  expect((await trainlock(["plan", ...flags])).stdout).toMatch(/^running .*, 12\/40, quiet for 3 h 1 min$/m);
});

const lineCases: readonly (readonly [line: string, log: string, expected: number | null])[] = [
  ["{step} {of}", "12  40\n123\n", 12],
  ["step={step}", "step = 5, step=6\n", 6],
  ["a.c {step}", "abc 5\n", null],
  ["[{step}/{of}]", "[  7/ 9]\n[8/x]", 7],
  ["it {step}", "it 99999999999999999999", null],
];

test.each(lineCases)("the line %j finds its step in %j", async (line, log, expected) => {
  const folder = await temporaryRoot();
  const progress = new ProgressReader({ file: "x.log", line }).read(folder, fill(folder, { "x.log": log }), []);
  expect(progress?.step ?? null).toBe(expected);
});
