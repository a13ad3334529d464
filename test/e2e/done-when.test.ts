import { existsSync, utimesSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

async function writeCheckpoint(of: TestConfiguration, name: string, bytes: number): Promise<string> {
  const path = join(of.weightsDir, name);
  await mkdir(of.weightsDir, { recursive: true });
  await writeFile(path, Buffer.alloc(bytes, 1));
  return path;
}

const trained = ["--", "echo", "trained"];

describe.each(["iter_80000.pth", "iter_8*.pth"])("--done-when %s", (glob) => {
  test("the checkpoint is there: run skips with exit code 0, check says 4", async () => {
    const of = configuration(await temporaryRoot());
    await writeCheckpoint(of, "iter_80000.pth", 1024);
    const run = await trainlock(["run", ...of.args, "--done-when", glob, ...trained]);
    expect(run).toMatchObject({ exitCode: 0 });
    expect(run.stdout + run.stderr).toMatch(/^SKIP: Final checkpoint already exists: (.*\/)?iter_80000\.pth\n$/);
    expect(await trainlock(["check", ...of.args, "--done-when", glob])).toMatchObject({ exitCode: 4 });
  });

  test("it is not, or smaller than 1 KiB, or another: run trains, check says 0", async () => {
    const of = configuration(await temporaryRoot());
    const asUsual = async () => {
      expect(await trainlock(["check", ...of.args, "--done-when", glob])).toMatchObject({ exitCode: 0 });
      const run = await trainlock(["run", ...of.args, "--done-when", glob, ...trained]);
      expect(run).toMatchObject({ exitCode: 0, stdout: "trained\n" });
    };
    await asUsual();
    await writeCheckpoint(of, "iter_80000.pth", 1023);
    await asUsual();
    await writeCheckpoint(of, "iter_40000.pth", 4096);
    await asUsual();
  });
});

test("a pattern looks into folders, but not into one that was set aside", async () => {
  const of = configuration(await temporaryRoot());
  const check = () => trainlock(["check", ...of.args, "--done-when", "checkpoint-*/model.pth"]);
  await mkdir(join(of.weightsDir, "checkpoint-9.before-1"), { recursive: true });
  await writeCheckpoint(of, "checkpoint-9.before-1/model.pth", 2048);
  expect(await check()).toMatchObject({ exitCode: 0 });
  await mkdir(join(of.weightsDir, "checkpoint-9"));
  await writeCheckpoint(of, "checkpoint-9/model.pth", 2048);
  expect(await check()).toMatchObject({ exitCode: 4 });
});

test("what a holder writes does not count: run says locked, check says 1, and both count it once it is over", async () => {
  const of = configuration(await temporaryRoot());
  const holder = await holdWithRun(of.args);
  await writeCheckpoint(of, "iter_80000.pth", 1024);
  const rule = ["--done-when", "iter_80000.pth"];
  expect(await trainlock(["run", ...of.args, ...rule, ...trained])).toMatchObject({ exitCode: 75, stdout: "" });
  expect(await trainlock(["check", ...of.args, ...rule])).toMatchObject({ exitCode: 1 });
  holder.closeInput();
  await holder.finished;
  expect(await trainlock(["run", ...of.args, ...rule, ...trained])).toMatchObject({ exitCode: 0, stdout: "" });
  expect(await trainlock(["check", ...of.args, ...rule])).toMatchObject({ exitCode: 4 });
});

test("writing a done file sweeps what killed runs have left of it, and nothing that is young or another's", async () => {
  const of = configuration(await temporaryRoot());
  const left = "trained.json.0123456789abcdef.tmp";
  const stay = ["trained.json.fedcba9876543210.tmp", "trained.json.tmp", "iter_1.pth.0123456789abcdef.tmp"];
  for (const name of [left, ...stay]) await writeCheckpoint(of, name, 1);
  const longAgo = Date.now() / 1000 - 7200;
  for (const name of [left, ...stay.slice(1)]) utimesSync(join(of.weightsDir, name), longAgo, longAgo);
  const command = ["sh", "-c", 'echo > "$TRAINLOCK_WEIGHTS_DIR/out"'];
  const run = await trainlock(["run", ...of.args, "--done-file", "trained.json", "--", ...command]);
  expect(run).toMatchObject({ exitCode: 0 });
  expect([left, ...stay, "trained.json"].filter((name) => existsSync(join(of.weightsDir, name)))).toEqual([
    ...stay,
    "trained.json",
  ]);
});
