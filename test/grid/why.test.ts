import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { wrapped } from "../../src/cli/show/wrapped.ts";
import { estimateOf } from "../../src/grid/estimate.ts";
import type { PlannedRow } from "../../src/grid/plan.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import {
  environment,
  executable,
  holdWithLastingCommand,
  holdWithRun,
  killWithCommand,
  trainlock,
} from "../support/trainlock.ts";

const flags = (root: string, strategy: string) =>
  ["--root", root, "--strategy", strategy, "--dataset", "D", "--model", "m"] as const;
const trains = ["--", "sh", "-c", 'head -c 2k /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"'];

/** A site with a configuration in each state, each from its real cause. */
async function site(): Promise<string> {
  const root = await temporaryRoot();
  writeFileSync(
    join(root, "trainlock.yaml"),
    `done: { when: [final.pth] }
grid:
  - { strategy: [trained, held, dead, odd, broken, new], dataset: D, model: m }
  - { strategy: waits, dataset: D, model: m, needs: ["{root}/inputs"] }
`,
  );
  await trainlock(["run", ...flags(root, "trained"), ...trains]);
  await holdWithRun(flags(root, "held"));
  const dead = await holdWithLastingCommand(flags(root, "dead"));
  await killWithCommand(dead);
  const odd = join(root, "WEIGHTS", "odd", "d_cd", "m");
  mkdirSync(odd, { recursive: true });
  writeFileSync(join(odd, ".training_lock"), "two\nlines 12\n");
  await trainlock([
    "work",
    "--root",
    root,
    "--strategy",
    "broken",
    "--",
    "sh",
    "-c",
    "echo first; echo no memory; exit 7",
  ]);
  return root;
}

test("why says the state, what is behind it and what would change it; plan and it agree, in text and JSON", async () => {
  const root = await site();
  const plan = await trainlock(["plan", "--root", root, "--scheduler", "none", "--json"]);
  const rows = JSON.parse(plan.stdout).rows as { name: string; state: string; log: string | null }[];
  const states = Object.fromEntries(rows.map(({ name, state }) => [name.split("/")[0], state]));
  expect(states).toEqual({
    trained: "done",
    held: "running",
    dead: "stale",
    odd: "unknown",
    broken: "failed",
    new: "free",
    waits: "blocked",
  });
  const shown: Record<string, RegExp> = {
    trained: /final\.pth shows it.*nothing is left to do/s,
    held: /is ACTIVE\n {2}evidence\n.*to wait for it: trainlock run --strategy held --dataset D --model m --wait/s,
    dead: /is STALE.*dead .*the next run takes the lock over: trainlock run --strategy dead/s,
    odd: /is UNKNOWN.*trainlock clear --strategy odd --dataset D --model m --force --no-dry-run/s,
    broken: /generation 1,.*exit 7, failed.*trainlock-logs\/1\.log\n {4}first\n {4}no memory\n.*--retry-failed/s,
    new: /nothing in its weights dir matches final\.pth.*none is recorded.*a run: trainlock run --strategy new/s,
    waits: /needs .*\/inputs, which is not there/,
  };
  for (const { name, state } of rows) {
    const call = ["why", name, "--root", root, "--scheduler", "none"];
    const text = await trainlock(call);
    expect(text).toMatchObject({ exitCode: 0, stderr: "" });
    expect(text.stdout.split("\n")[0]).toBe(`${state}  ${name}`);
    expect(text.stdout).toMatch(shown[name.split("/")[0] ?? ""] ?? /never/);
    const json = JSON.parse((await trainlock([...call, "--json"])).stdout);
    expect(json).toMatchObject({ name, state, because: expect.arrayContaining([expect.any(String)]) });
  }
  expect(rows.find(({ name }) => name.startsWith("broken"))?.log).toMatch(/broken\/d_cd\/m\/trainlock-logs\/1\.log$/);
  const text = await trainlock(["plan", "--root", root, "--scheduler", "none", "-v"]);
  expect(text.stdout).toContain("Failed: 1 with no memory (broken/d/m)\n");
  expect(text.stdout).toMatch(/\n {4}run: \S+ \S+ {2}failed, exit 7, .* \(generation 1, .*\n {4}log: .*1\.log\n/);
});

test("a log belongs to the run whose generation it has: a failed run without one is not explained by another's", async () => {
  const root = await temporaryRoot();
  writeFileSync(join(root, "trainlock.yaml"), "done: { when: [final.pth] }\n");
  const of = flags(root, "s");
  const weightsDir = join(root, "WEIGHTS", "s", "d_cd", "m");
  const [sh, dashC, training = ""] = trains.slice(1);
  const first = await trainlock(["work", ...of, "--", sh ?? "", dashC ?? "", `echo went well; ${training}`]);
  expect(first.exitCode).toBe(0);
  rmSync(join(weightsDir, "final.pth"));
  await trainlock(["run", ...of, "--", "sh", "-c", "echo no memory; exit 5"]);
  const plan = await trainlock(["plan", ...of]);
  expect(plan.stdout).toMatch(/^failed +s\/d\/m/);
  expect(plan.stdout).not.toContain("went well");
  const json = JSON.parse((await trainlock(["plan", ...of, "--json"])).stdout);
  expect(json.rows[0]).toMatchObject({ state: "failed", log: null });
  const why = await trainlock(["why", ...of]);
  expect(why.stdout).not.toContain("went well");
  expect(why.stdout).toMatch(/earlier logs\n {4}\S+\/trainlock-logs\/1\.log, until/);
});

test("why tells of the last runs and of who was turned away, plan -v of the last three; without a history the record does", async () => {
  const root = await temporaryRoot();
  const of = flags(root, "s");
  for (const code of [3, 4, 5, 6, 0, 7]) await trainlock(["run", ...of, "--", "sh", "-c", `exit ${code}`]);
  const holder = await holdWithRun(of);
  expect(await trainlock(["run", ...of, "--", "true"])).toMatchObject({ exitCode: 75 });
  holder.closeInput();
  await holder.finished;
  const why = (...more: string[]) => trainlock(["why", "s/d/m", "--root", root, ...more]);
  const { stdout } = await why();
  const [, history = ""] = /\n {2}history\n((?: {4}.*\n)+)/.exec(stdout) ?? [];
  const lines = history.split("\n").map((line) => line.trim());
  expect(lines.map((line) => /(?:done|failed), exit (\d).*generation (\d)/.exec(line)?.slice(1).join(" "))).toEqual([
    "0 7",
    "7 6",
    "0 5",
    "6 4",
    "5 3",
    undefined,
    undefined,
    undefined,
  ]);
  expect(lines[5]).toBe("2 earlier: trainlock history --match s/d/m");
  expect(lines[6]).toMatch(/^1 job was turned away 20\S+ \S+, of \S+$/);
  const json = JSON.parse((await why("--json")).stdout);
  expect(json.runs.map(({ exit }: { exit: number }) => exit)).toEqual([0, 7, 0, 6, 5, 4, 3]);
  expect(json.turnedAway).toEqual([{ user: expect.any(String), at: expect.stringMatching(/Z$/) }]);
  const plan = () => trainlock(["plan", ...of, "-v"]);
  expect((await plan()).stdout.match(/ {4}run: /g)).toHaveLength(3);
  rmSync(join(root, "training_locks", "history"), { recursive: true });
  expect((await plan()).stdout).toContain("    last run: done, exit 0\n");
  expect((await why()).stdout).not.toContain("history\n");
  expect((await why()).stdout).toMatch(/last run\n {4}generation 7,.*\n {4}began .* exit 0, done/);
});

test("a configuration is found by its name, its folder or its options; a name that nothing has is exit 2", async () => {
  const root = await temporaryRoot();
  await trainlock(["run", ...flags(root, "known"), "--", "true"]);
  const first = async (...call: string[]) => (await trainlock(["why", ...call])).stdout.split("\n")[0];
  expect(await first("known/d/m", "--root", root)).toBe("free  known/d/m");
  expect(await first("known/D/m", "--root", root)).toBe("free  known/d/m");
  expect(await first(join(root, "WEIGHTS", "known", "d_cd", "m"), "--root", root)).toBe("free  known/d/m");
  const at = async (cwd: string, called: string) =>
    (await trainlock(["why", called, "--root", root], { cwd })).stdout.split("\n")[0];
  const own = join(root, "WEIGHTS", "known", "d_cd", "m");
  for (const [cwd, called] of [
    [root, "WEIGHTS/known/d_cd/m"],
    [root, "./WEIGHTS/known/d_cd/m/"],
    ["/", "WEIGHTS/known/d_cd/m"],
    [join(root, "WEIGHTS"), "known/d_cd/m"],
    [own, "."],
    [own, "../m"],
    [join(own, ".."), "m/"],
  ] as const)
    expect([called, await at(cwd, called)]).toEqual([called, "free  known/d/m"]);
  symlinkSync(root, `${root}-link`);
  onTestFinished(() => rmSync(`${root}-link`));
  expect(await at("/", `${root}-link/WEIGHTS/known/d_cd/m`)).toBe("free  known/d/m");
  expect(await first(join(own, "."), "--root", `${root}-link`)).toBe("free  known/d/m");
  expect((await trainlock(["why", "known/d", "--root", root])).stderr).toContain("did you mean known/d/m?");
  expect(await first(...flags(root, "never"))).toBe("free  never/d/m");
  const grid = join(root, "grid.yaml");
  writeFileSync(grid, '- { strategy: planned, dataset: D, model: m, needs: ["nowhere"] }\n');
  expect(await first("planned/d/m", "--root", root, "--grid", grid)).toBe("blocked  planned/d/m");
  expect(await first("known/d/m", "--root", root, "--grid", grid)).toBe("free  known/d/m");
  const unknown = await trainlock(["why", "knwon/d/m", "--root", root]);
  expect(unknown).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("did you mean known/d/m?") });
  expect(await trainlock(["why", "--root", root])).toMatchObject({ exitCode: 2 });
  const next = await trainlock(["plan", grid, "--root", root]);
  expect(next.stdout).toContain(`\nNext: trainlock why planned/d/m --grid ${grid}\n`);
});

test("the grid of the site is that of plan and work without a file: blocks, or the path of one", async () => {
  const root = await temporaryRoot();
  const names = async (...more: string[]) =>
    (await trainlock(["plan", "--root", root, "--format", "{name}", ...more])).stdout.trim().split("\n");
  await trainlock(["run", ...flags(root, "other"), "--", "true"]);
  writeFileSync(join(root, "trainlock.yaml"), "grid:\n  strategy: [a, b]\n  dataset: D\n  model: m\n");
  expect(await names()).toEqual(["a/d/m", "b/d/m"]);
  expect(await names("--strategy", "b")).toEqual(["b/d/m"]);
  expect(await names("--strategy", "x", "--dataset", "D", "--model", "m")).toEqual(["x/d/m"]);
  expect((await trainlock(["plan", "--root", root, "--adopt"])).stdout).toContain("strategy: other");
  const worked = await trainlock(["work", "--root", root, "--done-when", "final.pth", ...trains]);
  expect(worked).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("2 trained") });
  writeFileSync(join(root, "trainlock.yaml"), "grid: grids/all.csv\n");
  mkdirSync(join(root, "grids"));
  writeFileSync(join(root, "grids", "all.csv"), "strategy,dataset,model\nc,D,m\n");
  expect(await names()).toEqual(["c/d/m"]);
  writeFileSync(join(root, "trainlock.yaml"), "lock_dir: locks\ngrid:\n  - { strategi: a }\n");
  const wrong = await trainlock(["plan", "--root", root]);
  expect(wrong).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/trainlock\.yaml:3: grid.*did you mean strategy/),
  });
});

test("what is left is estimated by the medians of finished runs: of a model from three on, else of all", () => {
  const now = Date.parse("2026-01-01T12:00:00");
  const row = (
    model: string,
    state: PlannedRow["state"],
    seconds: number | null = null,
    startedAt: string | null = null,
  ) =>
    ({
      configuration: { model },
      rule: { patterns: ["final.pth"], smallestBytes: 0, file: null },
      state,
      ends: { lastEnd: seconds === null ? null : "done", seconds },
      lock: startedAt === null ? null : { startedAt },
    }) as unknown as PlannedRow;
  const finished = [100, 300, 200].map((seconds) => row("m", "done", seconds));
  expect(estimateOf(finished, now)).toBeNull();
  expect(estimateOf([...finished.slice(1), row("m", "free")], now)).toBeNull();
  const left = [
    row("m", "free"),
    row("m", "failed"),
    row("m", "running", null, "2026-01-01T11:59:00"),
    row("n", "stale"),
  ];
  expect(estimateOf([...finished, ...left], now)).toEqual({ seconds: 200 + 140 + 200, rows: 3, unknown: 0, from: 3 });
  const others = [1000, 1000, 1000].map((seconds) => row("n", "done", seconds));
  expect(estimateOf([...finished, ...others, row("n", "free")], now)).toMatchObject({ seconds: 1000, from: 6 });
});

/** Runs a program in a terminal of no size, which counts as 80 columns. */
const inTerminal = `import pty, sys
sys.exit(pty.spawn(sys.argv[1:]) >> 8)`;

requiresPrograms("python3")(
  "on a terminal no line is longer than it is wide, but for a word that is; a pipe gets whole lines",
  async () => {
    const root = await temporaryRoot();
    const strategy = "gen_a_strategy_with_a_long_name";
    for (const code of [3, 0]) await trainlock(["run", ...flags(root, strategy), "--", "sh", "-c", `exit ${code}`]);
    const name = `${strategy}/d/m`;
    const calls = [
      ["plan", ...flags(root, strategy), "-v"],
      ["why", name, "--root", root],
      ["history", "--root", root, "-v"],
    ];
    for (const call of calls) {
      const terminal = await finish("python3", ["-c", inTerminal, executable, ...call], { env: environment() });
      const lines = terminal.stdout.split("\r\n");
      const long = lines.filter((line) => line.length > 80 && line.trim().includes(" "));
      expect([call[0], long]).toEqual([call[0], []]);
      expect(terminal.stdout).toContain(name);
      const words = (text: string) => text.replaceAll(/\s\\?\s+/g, " ").trim();
      const piped = (await trainlock(call)).stdout;
      // The last run is not said twice on a screen, and counts of nothing are not said at all.
      const twice = /^ {4}since the last run that was done: 0 failed, 0 |\(generation 2, /;
      const onScreen = piped.split("\n").filter((line) => !twice.test(line));
      const inOne = onScreen
        .join("\n")
        .replace(/(generation .*)\n +began /, "$1; began ")
        .replaceAll(/(:\d\d)\.\d+/g, "$1");
      if (call[0] === "why") expect(words(terminal.stdout)).toBe(words(inOne));
      else expect(piped.split("\n").some((line) => line.length > 80)).toBe(true);
    }
    const command = `trainlock run --strategy ${strategy} --dataset D --model m -- COMMAND`;
    expect(wrapped(`    one more: ${command}`, 60).split("\n")).toEqual([
      "    one more:",
      `      trainlock run --strategy \\`,
      `        ${strategy} --dataset D \\`,
      "        --model m -- COMMAND",
    ]);
    expect(wrapped("  x: trainlock why 'a b'", 10)).toBe("  x:\n    trainlock why 'a b'");
  },
);
