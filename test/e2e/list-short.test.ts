import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { beforeEach, expect, test } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

const me = userInfo().username;
let root: string;

beforeEach(async () => {
  root = await temporaryRoot();
});

const short = (...options: string[]) =>
  trainlock(["list", "--root", root, "--short", "--scheduler", "none", ...options]);
const rowsOf = (stdout: string) =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split(/ {2,}/));

/** A lock file as the old Python writer left it. */
function stale(model: string, user: string, acquired: string, job: string): void {
  const record = { strategy: "s", dataset: "d", model, job_id: job, hostname: "node07", pid: 4_194_303, user };
  mkdirSync(`${root}/training_locks`, { recursive: true });
  writeFileSync(`${root}/training_locks/s_d_${model}.lock`, JSON.stringify({ ...record, acquired_at: acquired }));
}

test("one line a training, whose two locks count as one, with its job as its scheduler spells it", async () => {
  const env = { SLURM_JOB_ID: "4711", SLURM_ARRAY_JOB_ID: "4700", SLURM_ARRAY_TASK_ID: "12" };
  await holdWithRun(configuration(root, "s", "D", "m").args, { env });
  await writeMarker(configuration(root, "old", "D", "m"), `${process.pid}\n`);
  const { stdout, exitCode } = await short();
  expect(exitCode).toBe(0);
  const host = hostname().length > 14 ? expect.stringContaining("…") : hostname();
  expect(rowsOf(stdout)).toEqual([
    ["NAME", "STATE", "USER", "JOB", "HOST", "ELAPSED"],
    ["old/d/m", "ACTIVE", me, "-", "-", expect.stringMatching(/^\d+ s$/)],
    ["s/d/m", "ACTIVE", me, "4700_12", host, expect.stringMatching(/^\d+ s$/)],
  ]);
});

test("no line is longer than 80 columns, and a name that is cut keeps its end", async () => {
  stale(
    `${"m".repeat(90)}_seed3`,
    "somebody-with-a-very-long-name",
    "2020-01-01T00:00:00",
    "123456789012345678[99999]",
  );
  const { stdout } = await short();
  const lines = stdout.trimEnd().split("\n");
  expect(lines).toHaveLength(2);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(lines[1]).toMatch(/^s\/d\/m+…m*_seed3 /);
});

test("--mine, --status and --sort", async () => {
  stale("a", "alice", "2024-01-01T00:00:00", "1");
  stale("b", me, "2023-01-01T00:00:00", "2");
  stale("c", "bob", "2025-01-01T00:00:00", "3");
  await writeMarker(configuration(root, "s", "D", "z"), `${process.pid}\n`);
  const names = async (...options: string[]) =>
    rowsOf((await short(...options)).stdout)
      .slice(1)
      .map(([name]) => name);
  expect(await names()).toEqual(["s/d/a", "s/d/b", "s/d/c", "s/d/z"]);
  expect(await names("--mine")).toEqual(["s/d/b", "s/d/z"]);
  expect(await names("--status", "stale")).toEqual(["s/d/a", "s/d/b", "s/d/c"]);
  expect(await names("--status", "Active,unknown")).toEqual(["s/d/z"]);
  expect(await names("--sort", "elapsed")).toEqual(["s/d/b", "s/d/a", "s/d/c", "s/d/z"]);
  expect(await names("--sort", "user", "--status=stale")).toEqual(
    [me, "alice", "bob"].sort().map((user) => `s/d/${{ alice: "a", bob: "c" }[user] ?? "b"}`),
  );
  expect(await names("--sort", "state")).toEqual(["s/d/z", "s/d/a", "s/d/b", "s/d/c"]);
  expect((await short("--mine", "--status", "unknown")).stdout).toBe("No active training locks\n");
  // The other formats know --mine and --status, too.
  expect((await trainlock(["list", "--root", root, "--mine"])).stdout).toContain("Total locks: 2");
  const json = await trainlock(["list", "--root", root, "--json", "--status", "stale"]);
  expect(JSON.parse(json.stdout).total).toBe(3);
});

test.each([
  [["--short", "--status", "activ"], '--status "activ" is not a choice'],
  [["--short", "--sort", "size"], '--sort "size" is not a choice'],
  [["--sort", "name"], "--sort is for --short"],
])("%j: exit 2", async (options, message) => {
  const { exitCode, stderr } = await trainlock(["list", "--root", root, ...options]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(message) });
});

test("hostile names move nothing on the terminal", async () => {
  stale("x", "a\u001b[31mb", "2024-01-01T00:00:00", "1");
  mkdirSync(`${root}/WEIGHTS`, { recursive: true });
  symlinkSync("/nowhere", `${root}/WEIGHTS/s\u001b[2J`);
  const { stdout, stderr } = await short();
  expect(stdout + stderr).not.toContain("\u001b");
  expect(stdout).toContain("a\\x1b[31mb");
});

test("check names ratio, auxiliary loss and stage of what is locked, where they are given", async () => {
  const of = configuration(root);
  const more = ["--ratio", "0.5", "--aux-loss", "focal", "--stage", "1"];
  await holdWithRun([...of.args, ...more]);
  const { exitCode, stderr } = await trainlock(["check", ...of.args, ...more]);
  expect(exitCode).toBe(1);
  expect(stderr).toContain(`  Model: ${of.model}\n  Ratio: 0.5\n  Aux Loss: focal\n  Stage: 1\n  Held by: `);
  await holdWithRun(of.args);
  expect((await trainlock(["check", ...of.args])).stderr).toContain(`  Model: ${of.model}\n  Held by: `);
});
