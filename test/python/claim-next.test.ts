import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { pythonSession, startPython } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("python3");
const models = ["a", "b", "c", "d"];

async function grid(done = "done: { file: trained.json }") {
  const root = await temporaryRoot();
  const file = join(root, "grid.yaml");
  const rows = `strategy: [baseline]\n  dataset: [IDD-AW]\n  model: [${models.join(", ")}]`;
  writeFileSync(file, `- ${done}\n  ${rows}\n`);
  const of = (model: string) => configuration(root, "baseline", "IDD-AW", model);
  const ends = (model: string) => JSON.parse(readFileSync(of(model).kernelLock, "utf8")).trainlock.ends;
  return { root, file, of, ends };
}

test("a program works through a grid: each row once, the next means success, and they are done for everybody", async () => {
  const { root, file, ends } = await grid();
  const program = pythonSession(root);
  expect(await program.tell(`[(row.model, row.assert_held()) for row in claim_next('${file}')]`)).toEqual(
    models.map((model) => [model, null]),
  );
  for (const model of models) expect(ends(model)).toMatchObject({ last_end: "done", last_exit: 0 });
  const { counts } = JSON.parse((await trainlock(["plan", file, "--root", root, "--json"])).stdout);
  expect(counts).toMatchObject({ done: 4, free: 0 });
  expect(await program.tell(`len(list(claim_next('${file}')))`)).toBe(0);
  expect((await trainlock(["list", "--root", root])).stdout).toBe("No active training locks\n");
});

test("leaving the loop is an interruption; `with row` tells success and failure apart; others' rows are left", async () => {
  const { root, file, of, ends } = await grid();
  const holder = await holdWithRun(of("a").args);
  const program = pythonSession(root);
  await program.tell(
    `for row in claim_next('${file}'):\n    if row.model == 'd': break\n    try:\n        with row:\n            if row.model == 'b': raise ValueError\n    except ValueError: pass\ndel row`,
  );
  expect(ends("b")).toMatchObject({ last_end: "failed", attempts: 1 });
  expect(ends("c")).toMatchObject({ last_end: "done" });
  expect(ends("d")).toMatchObject({ last_end: "interrupted" });
  expect([
    existsSync(join(of("b").weightsDir, "trained.json")),
    existsSync(join(of("c").weightsDir, "trained.json")),
  ]).toEqual([false, true]);
  await program.tell(`for row in claim_next('${file}', done_when='x.pth'): pass`);
  expect(await program.raised(`list(claim_next('${file}', timeout=0.2))`)).toMatch(/^LockTimeout: 1 rows are held/);
  holder.closeInput();
  await holder.finished;
  expect(await program.raised("list(claim_next('/nowhere/grid.yaml'))")).toMatch(/^LockUnavailable: the grid cannot/);
});

test("success without the checkpoint that is asked for is a failure", async () => {
  const { root, file, ends, of } = await grid("done: { when: ['iter_{1,2}.pth'] }");
  const program = pythonSession(root);
  await program.tell(
    `for row in claim_next('${file}'):\n    if row.model == 'b': (row.weights_dir / 'iter_2.pth').write_text('x' * 2000)`,
  );
  expect(ends("a")).toMatchObject({ last_end: "failed" });
  expect(ends("b")).toMatchObject({ last_end: "done", checkpoint: "iter_2.pth" });
  expect(await trainlock(["plan", file, "--root", root, "--format", "{model} {state}"])).toMatchObject({
    stdout: expect.stringContaining("b done"),
  });
  expect(existsSync(of("a").marker)).toBe(false);
});

test("programs that share a grid train each row once", async () => {
  const { root, file } = await grid();
  const script = `
import sys, time
from training_lock import *
for row in claim_next(sys.argv[1]):
    print(row.model, flush=True)
    time.sleep(0.1)
`;
  const programs = Array.from({ length: 4 }, () => startPython(root, script, [file], { timeoutMs: 60_000 }));
  const ended = await Promise.all(programs.map(({ finished }) => finished));
  const trained = ended.flatMap(({ stdout }) => stdout.split("\n").filter(Boolean));
  expect(trained.sort()).toEqual(models);
});

/** The executable, but for a pause between the look at the grid and the first claim, until it is told to go on. */
function pausingBeforeTheClaim(root: string) {
  const [program, asked, goOn] = ["pausing", "asked", "go-on"].map((name) => join(root, name)) as [
    string,
    string,
    string,
  ];
  const pause = `[ "$1" = __python ] && { : >"${asked}"; while ! [ -e "${goOn}" ]; do sleep 0.02; done; }`;
  writeFileSync(program, `#!/bin/sh\n${pause}\nexec "${executable}" "$@"\n`, { mode: 0o755 });
  return {
    env: { TRAINLOCK_BIN: program },
    paused: () => until("the first claim", () => (existsSync(asked) ? true : null)),
    goOn: () => writeFileSync(goOn, ""),
  };
}

test("what another program has trained or failed between the look at the grid and the claim is given back untouched", async () => {
  const root = await temporaryRoot();
  const file = join(root, "grid.yaml");
  const rows = (list: string) => `  strategy: [baseline]\n  dataset: [IDD-AW]\n  model: [${list}]\n`;
  writeFileSync(
    file,
    [
      `- done: { when: [iter_8.pth] }\n${rows("by-checkpoint, by-another")}`,
      `- done: { file: trained.json }\n${rows("by-done-file")}`,
      `- max_attempts: 2\n${rows("ended-well, failed-twice")}`,
      `- done: { when: [iter_8.pth], file: trained.json }\n${rows("of-an-older-rule")}`,
      `- max_attempts: 2\n${rows("failed-once, free")}`,
    ].join(""),
  );
  const of = (model: string) => configuration(root, "baseline", "IDD-AW", model);
  const run = (model: string, command: string, ...options: string[]) =>
    trainlock(["run", ...of(model).args, ...options, "--", "sh", "-c", command]);
  const pause = pausingBeforeTheClaim(root);
  const program = pythonSession(root, { env: pause.env });
  const trained = program.tell(`[row.model for row in claim_next('${file}')]`);
  await pause.paused();
  const checkpoint = 'head -c 2000 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/iter_8.pth"';
  await Promise.all([
    run("by-checkpoint", checkpoint),
    run("of-an-older-rule", ': >"$TRAINLOCK_WEIGHTS_DIR/log"', "--done-file", "trained.json"),
    run("by-done-file", ': >"$TRAINLOCK_WEIGHTS_DIR/log"', "--done-file", "trained.json"),
    run("ended-well", "true"),
    run("failed-once", "exit 3"),
    run("failed-twice", "exit 3").then(() => run("failed-twice", "exit 3")),
  ]);
  // The folder was another's when its checkpoint was written.
  mkdirSync(of("by-another").weightsDir, { recursive: true });
  writeFileSync(join(of("by-another").weightsDir, "iter_8.pth"), "x".repeat(2000));
  const foreign = readFileSync(of("by-checkpoint").markerRecord, "utf8");
  writeFileSync(of("by-another").markerRecord, foreign);
  pause.goOn();
  expect(await trained).toEqual(["of-an-older-rule", "failed-once", "free"]);
  const section = (model: string) => JSON.parse(readFileSync(of(model).kernelLock, "utf8")).trainlock;
  for (const [model, ends] of [
    ["by-checkpoint", { last_end: "done", attempts: 0 }],
    ["by-done-file", { last_end: "done", attempts: 0 }],
    ["ended-well", { last_end: "done", attempts: 0 }],
    ["failed-twice", { last_end: "failed", attempts: 2, last_exit: 3 }],
  ] as const) {
    // The claim of the program has come after them, and has counted nothing.
    expect(section(model), model).toMatchObject({ released_at: expect.any(String), ends });
    expect(section(model).generation, model).toBe(model === "failed-twice" ? 3 : 2);
    expect(existsSync(of(model).marker), model).toBe(false);
  }
  expect(program.process.stderr()).toContain("baseline/idd-aw/by-another is not trained: iter_8.pth in");
  expect(await program.tell(`[row.model for row in claim_next('${file}')]`)).toEqual([]);
}, 60_000);

test("a done file is not written without the checkpoint that is asked for beside it", async () => {
  const { root, file, ends, of } = await grid("done: { when: [iter_8.pth], file: trained.json }");
  const program = pythonSession(root);
  await program.tell(`for row in claim_next('${file}'): pass`);
  expect(ends("a")).toMatchObject({ last_end: "failed", attempts: 1 });
  expect(existsSync(join(of("a").weightsDir, "trained.json"))).toBe(false);
  expect(program.process.stderr()).toContain("without its checkpoint (iter_8.pth); trained.json is not written");
});

test("what was set aside for another training shows nothing; a name with brackets is itself", async () => {
  const { root, file, ends, of } = await grid("done: { when: ['iter_*', 'model[1].pth'], file: trained.json }");
  mkdirSync(of("a").weightsDir, { recursive: true });
  writeFileSync(join(of("a").weightsDir, "iter_8.pth.before-1"), "x".repeat(2000));
  const program = pythonSession(root);
  await program.tell(
    `for row in claim_next('${file}'):\n    if row.model == 'b': open(str(row.weights_dir) + '/model[1].pth', 'w').write('x' * 2000)`,
  );
  expect(ends("a")).toMatchObject({ last_end: "failed", attempts: 1 });
  expect(ends("b")).toMatchObject({ last_end: "done", attempts: 0 });
  expect(["a", "b"].map((model) => existsSync(join(of(model).weightsDir, "trained.json")))).toEqual([false, true]);
});
