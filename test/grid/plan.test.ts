import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, holdWithRun, killWithCommand, trainlock } from "../support/trainlock.ts";

const flags = (root: string, strategy: string, model = "m") =>
  ["--root", root, "--strategy", strategy, "--dataset", "D", "--model", model] as const;

async function statesOf(root: string, grid: string, ...more: string[]): Promise<Record<string, string>> {
  const file = join(root, "grid.yaml");
  writeFileSync(file, grid);
  const { stdout, stderr } = await trainlock(["plan", file, "--root", root, "--json", "--scheduler", "none", ...more]);
  if (stdout === "") throw new Error(stderr);
  const { rows, counts } = JSON.parse(stdout) as {
    rows: { name: string; state: string }[];
    counts: Record<string, number>;
  };
  for (const [state, count] of Object.entries(counts)) {
    expect([state, rows.filter((row) => row.state === state).length]).toEqual([state, count]);
  }
  return Object.fromEntries(rows.map(({ name, state }) => [name.split("/")[0], state]));
}

test("each state is shown from its real cause; text, JSON and TSV agree", async () => {
  const root = await temporaryRoot();
  const make = (size: number) => ["--", "sh", "-c", `head -c ${size} /dev/zero > "$TRAINLOCK_WEIGHTS_DIR/final.pth"`];
  await trainlock(["run", ...flags(root, "trained"), ...make(4096)]);
  await trainlock(["run", ...flags(root, "torn"), ...make(12)]);
  await holdWithRun(flags(root, "held"));
  const dead = await holdWithLastingCommand(flags(root, "dead"));
  await killWithCommand(dead);
  const odd = join(root, "WEIGHTS", "odd", "d_cd", "m");
  mkdirSync(odd, { recursive: true });
  writeFileSync(join(odd, ".training_lock"), "two\nlines 12\n");
  writeFileSync(join(root, "WEIGHTS", "file"), "no folder");
  const grid = `
- strategy: [trained, torn, held, dead, odd, file, new]
  dataset: D
  model: m
- { strategy: waits, dataset: D, model: m, needs: ["{root}/inputs/{strategy}"] }
- { strategy: trained, dataset: D, model: m, ratio: 0.5, needs: [{ ratio: none }] }
- { strategy: held, dataset: D, model: m, ratio: 0.5, needs: [{ ratio: none }] }
`;
  const expected = { torn: "free", dead: "stale", odd: "unknown", file: "unknown", new: "free", waits: "blocked" };
  const states = await statesOf(root, grid, "--done-when", "final.pth");
  expect(states).toMatchObject({ ...expected, trained: "free", held: "blocked" });
  const file = join(root, "grid.yaml");
  const call = ["plan", file, "--root", root, "--scheduler", "none", "--done-when", "final.pth"];
  const tsv = await trainlock([...call, "--tsv"]);
  const [header, ...lines] = tsv.stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t"));
  const column = header?.indexOf("state") ?? -1;
  const text = await trainlock(call);
  expect(text.exitCode).toBe(3);
  const shown = text.stdout.split("\n").map((line) => line.split(/\s+/));
  for (const [index, line] of lines.entries()) expect(shown[index]?.slice(0, 2)).toEqual([line[column], line[0]]);
  expect(text.stdout).toContain(`\n\nNext: trainlock work ${file} --done-when final.pth -- COMMAND\n`);
  // What selects rows goes on, and a single row is trained under the grid's own rule, too.
  const chosen = await trainlock([...call, "--strategy", "new", "--done-when", "a b.pth"]);
  expect(chosen.stdout).toContain(
    `\nNext: trainlock work ${file} --strategy new --done-when final.pth --done-when 'a b.pth' -- COMMAND\n`,
  );
  expect(text.stdout).toMatch(
    /\n10 configurations: 1 done, 1 running, 1 stale, 2 unknown, 2 blocked, 3 free {3}\(\d\d:\d\d:\d\d, /,
  );
  expect(text.stdout.split("\n")[2]).toMatch(/^running +held\/d\/m +\S+, PID \d+ on /);
});

test("a need of all rows of a block asks nothing of the row that it names", async () => {
  const root = await temporaryRoot();
  const grid = "- { strategy: s, dataset: D, model: m, ratio: [0.5, 0.25], needs: [{ ratio: 0.5 }] }\n";
  writeFileSync(join(root, "grid.yaml"), grid);
  const plan = () => trainlock(["plan", join(root, "grid.yaml"), "--root", root, "--done-when", "final.pth"]);
  expect((await plan()).stdout).toMatch(/^free +s\/d\/m_ratio0p50\b.*\nblocked +s\/d\/m_ratio0p25\b/);
  mkdirSync(join(root, "WEIGHTS/s/d_cd/m_ratio0p50"), { recursive: true });
  writeFileSync(join(root, "WEIGHTS/s/d_cd/m_ratio0p50/final.pth"), Buffer.alloc(2048));
  expect((await plan()).stdout).toMatch(/^done +s\/d\/m_ratio0p50\b.*\nfree +s\/d\/m_ratio0p25\b/);
});

test("no row is free behind a link that leads nowhere on this host, of its folder or of the lock dir", async () => {
  const root = await temporaryRoot();
  mkdirSync(join(root, "WEIGHTS/linked/d_cd"), { recursive: true });
  symlinkSync(join(root, "elsewhere/m"), join(root, "WEIGHTS/linked/d_cd/m"));
  const grid = "- { strategy: [linked, new], dataset: D, model: m }\n";
  expect(await statesOf(root, grid)).toEqual({ linked: "unknown", new: "free" });
  symlinkSync(join(root, "elsewhere/locks"), join(root, "training_locks"));
  expect(await statesOf(root, grid)).toEqual({ linked: "unknown", new: "unknown" });
});

test("a checkpoint does not count while somebody holds the configuration", async () => {
  const root = await temporaryRoot();
  const holder = await holdWithRun(flags(root, "s"));
  writeFileSync(join(root, "WEIGHTS", "s", "d_cd", "m", "final.pth"), Buffer.alloc(4096));
  const grid = "- { strategy: s, dataset: D, model: m }\n";
  expect(await statesOf(root, grid, "--done-when", "final.pth")).toEqual({ s: "running" });
  holder.closeInput();
  await holder.finished;
  expect(await statesOf(root, grid, "--done-when", "final.pth")).toEqual({ s: "done" });
});

test("--require done exits with 1 until all rows are done; --state selects; nothing on disk is changed", async () => {
  const root = await temporaryRoot();
  const grid = join(root, "grid.yaml");
  writeFileSync(grid, "- { strategy: [a, b], dataset: D, model: m }\n");
  const plan = (...more: string[]) => trainlock(["plan", grid, "--root", root, "--done-when", "x.pth", ...more]);
  // No rows are not done rows.
  const none = await trainlock(["plan", "--root", root, "--require", "done"]);
  expect(none).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("Next: nothing, there are no rows\n") });
  const before = readdirSync(root);
  expect(await plan("--require", "done")).toMatchObject({ exitCode: 1 });
  expect((await plan("--state", "free", "--format", "{strategy}:{state}:{nothing}")).stdout).toBe(
    "a:free:{nothing}\nb:free:{nothing}\n",
  );
  expect((await plan("--by", "strategy,model")).stdout).toMatch(/^strategy \\ model {2}m\na +0\/1\nb +0\/1\n/);
  expect(readdirSync(root)).toEqual(before);
  for (const strategy of ["a", "b"]) {
    await trainlock([
      "run",
      ...flags(root, strategy),
      "--",
      "sh",
      "-c",
      'head -c 2k /dev/zero > "$TRAINLOCK_WEIGHTS_DIR/x.pth"',
    ]);
  }
  const done = await plan("--require", "done");
  expect(done).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("Next: nothing, all is done\n2 configurations: 2 done "),
  });
});

test("--adopt writes the grid of the folders that exist, and that grid has the same rows", async () => {
  const root = await temporaryRoot();
  for (const strategy of ["a", "b"]) {
    for (const model of ["m", "n"]) await trainlock(["run", ...flags(root, strategy, model), "--", "true"]);
  }
  await trainlock(["run", ...flags(root, "gen_x"), "--ratio", "0.5", "--", "true"]);
  const old = join(root, "WEIGHTS", "old", "d_cd", "m_ratio0p25");
  mkdirSync(old, { recursive: true });
  writeFileSync(join(old, ".training_lock"), "123\n");
  // Trained before there was a record, and a folder that somebody has made and not used.
  const older = join(root, "WEIGHTS", "older", "d_cd", "it's: m");
  mkdirSync(older, { recursive: true });
  writeFileSync(join(older, "iter_80000.pth"), "trained");
  mkdirSync(join(root, "WEIGHTS", "unused", "d_cd", "m"), { recursive: true });
  // A grid takes this for no value.
  const none = join(root, "WEIGHTS", "None", "d_cd", "m");
  mkdirSync(none, { recursive: true });
  writeFileSync(join(none, ".training_lock"), "123\n");
  const adopted = await trainlock(["plan", "--root", root, "--adopt"]);
  expect(adopted.stderr).toBe(`trainlock: ${none} is left out: no grid can have its name\n`);
  expect(adopted.stdout).toBe(
    [
      "- strategy: [a, b]\n  dataset: D\n  model: [m, n]\n",
      "- strategy: gen_x\n  dataset: D\n  model: m\n  ratio: 0.5\n",
      "- strategy: old\n  dataset: d\n  model: m\n  ratio: 0.25\n",
      '- strategy: older\n  dataset: d\n  model: "it\'s: m"\n',
    ].join(""),
  );
  const names = Object.keys(await statesOf(root, adopted.stdout));
  expect(names).toEqual(["a", "b", "gen_x", "old", "older"]);
});

test("a row that cannot be looked at is unknown, and the others are shown", async () => {
  const root = await temporaryRoot();
  const grid = join(root, "grid.yaml");
  writeFileSync(grid, "- { strategy: [a, b], dataset: D, model: m }\n");
  mkdirSync(join(root, "WEIGHTS", "a", "d_cd"), { recursive: true });
  // A link that leads nowhere stands for any folder that does not open.
  symlinkSync("m", join(root, "WEIGHTS", "a", "d_cd", "m"));
  const planned = await trainlock(["plan", grid, "--root", root]);
  expect(planned.stdout).toMatch(/^unknown +a\/d\/m +cannot look into .*ELOOP\nfree +b\/d\/m\n/);
  expect(planned.exitCode).toBe(3);
});

test("a row whose attempts are used up is failed, with their number and the last exit code, until it is done", async () => {
  const root = await temporaryRoot();
  const run = (strategy: string, script: string) =>
    trainlock(["run", ...flags(root, strategy), "--", "bash", "-c", script]);
  const checkpoint = 'head -c 4096 /dev/zero > "$TRAINLOCK_WEIGHTS_DIR/final.pth"';
  await run("once", "exit 3");
  await run("twice", "exit 3");
  await run("twice", "exit 4");
  await run("late", `${checkpoint}; exit 1`);
  const grid = `
- { strategy: [once, twice, late], dataset: D, model: m }
`;
  const done = ["--done-when", "final.pth"];
  const states = await statesOf(root, grid, ...done);
  expect(states).toMatchObject({ twice: "failed", late: "done" });
  const call = ["plan", join(root, "grid.yaml"), "--root", root, "--scheduler", "none", ...done];
  const text = (await trainlock(call)).stdout;
  expect(text).toMatch(/^failed +once\S+ +exit 3; 1 failed attempt$/m);
  expect(text).toMatch(/^failed +twice\S+ +exit 4; 2 failed attempts$/m);
  expect(text).toMatch(/^done +late\S+ +final.pth \(last exit 1\)$/m);
  expect(text).toMatch(/1 done, 2 failed/);
  // Another stage with the same weights dir has not failed.
  const staged = await trainlock(["plan", ...flags(root, "once"), "--stage", "2", "--scheduler", "none"]);
  expect(staged.stdout).toMatch(/1 free/);
  const rows = JSON.parse((await trainlock([...call, "--json"])).stdout).rows;
  expect(rows[1]).toMatchObject({ attempts: 2, interruptions: 0, lastExit: 4 });
  expect((await trainlock([...call, "--tsv"])).stdout).toMatch(/\tfailed\t.*\t2\t0\t4\t/);
  expect((await statesOf(root, grid, ...done, "--max-attempts", "2")).twice).toBe("failed");
  expect((await trainlock([...call, "--max-attempts", "2"])).stdout).toMatch(/1 done, 1 failed, 1 free/);
  writeFileSync(join(root, "trainlock.yaml"), "max_attempts: 3\n");
  expect((await trainlock(call)).stdout).toMatch(/1 done, 2 free/);
  expect((await trainlock([...call, "--max-attempts", "0"])).exitCode).toBe(2);
});
