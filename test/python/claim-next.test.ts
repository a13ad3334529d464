import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { pythonSession, startPython } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

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
