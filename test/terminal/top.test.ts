import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { firstView, pressKey, readKeys, screenOf } from "../../src/board/top-view.ts";
import { Lab, type LabRow, pictureRows } from "../support/lab.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { startTerminal, type Terminal } from "./terminal.ts";

const test = requiresPrograms("tmux", "bash", "python3");

interface Top extends Terminal {
  readonly lab: Lab;
  lines(): string[];
}

async function startTop(rows: readonly LabRow[], columns = 80, lines = 24): Promise<Top> {
  const lab = await Lab.open(await temporaryRoot(), rows);
  const terminal = await startTerminal({ TOP: [executable, "top", ...lab.args].join(" ") });
  terminal.resize(columns, lines);
  terminal.type("$TOP; echo code=$?");
  await terminal.shows(/^STATE +CONFIGURATION/m);
  return Object.assign(terminal, { lab, lines: () => terminal.screen().split("\n").slice(0, -1) });
}

test("in 80 by 24: what is stuck first, all of it within the screen; moves, filters, shows evidence, quits", async () => {
  const top = await startTop(pictureRows());
  const first = top.lines();
  expect(first).toHaveLength(24);
  expect(first[0]).toMatch(/^grid\.csv: 89\/144 done, 12 running, 2 stale, 2 unknown, 1 failed, 38 free +\d\d:\d\d$/);
  expect(first[2]).toMatch(/^stale +std_cutmix\/idd-aw\/deeplabv3plus_r50 +chen +1 d \d h +20 %$/);
  expect(first.slice(2, 8).map((line) => line.split(" ")[0])).toEqual(
    "stale stale unknown unknown failed running".split(" "),
  );
  expect(first.at(-1)).toBe("up, down: move   /: filter   Enter: evidence   q: quit");
  for (const line of first) expect([...line].length).toBeLessThanOrEqual(80);
  top.press("Down");
  top.press("Enter");
  const detail = await top.shows(/^evidence +kernel-lock: the kernel lock is free/m);
  expect(detail).toMatch(/^photometric_distort\/mapillaryvistas\/pspnet_r50$/m);
  expect(detail).toMatch(/^who +alice$/m);
  expect(detail).toMatch(/^type +trainlock run --strategy photometric_distort/m);
  top.press("q");
  await top.shows(/^STATE/m);
  top.press("/");
  for (const key of "gen_tsit bob") top.press(key === " " ? "Space" : key);
  await top.shows(/^\/gen_tsit bob_ {2}\d+ found$/m);
  top.press("Enter");
  const found = await top.shows(/^\/gen_tsit bob {2}\d+ found$/m);
  expect(found).not.toMatch(/std_cutmix|baseline/);
  top.press("Escape");
  await top.shows(/std_cutmix/);
  top.press("End");
  await top.shows(/^done /m);
  top.press("q");
  const after = await top.shows(/^code=0$/m);
  expect(after).not.toMatch(/STATE/);
  top.type("echo and the shell works");
  await top.shows(/^and the shell works$/m);
});

test("the stages of one configuration are rows of their own: the cursor gets past them", async () => {
  const root = await temporaryRoot();
  const weights = "'W_{stage|bare}/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}'";
  writeFileSync(
    join(root, "trainlock.yaml"),
    `weights:\n  - { path: ${weights}, when: { stage: given } }\n  - 'W/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}'\n`,
  );
  const grid = join(root, "grid.yaml");
  writeFileSync(grid, "- { strategy: s, dataset: D, model: m, stage: 1..3 }\n");
  const top = await startTerminal({ TOP: [executable, "top", grid, "--root", root].join(" ") });
  top.resize(80, 24);
  top.type("$TOP; echo code=$?");
  await top.shows(/^free +s\/d\/m \(stage 3\)/m);
  for (const key of ["Down", "Down", "Enter"]) top.press(key);
  await top.shows(/^s\/d\/m \(stage 3\)$/m);
  top.press("q");
  top.press("q");
  await top.shows(/^code=0$/m);
});

test("it follows the size of its terminal, and Ctrl-Z and Ctrl-C give the terminal back", async () => {
  const top = await startTop(pictureRows());
  for (const [columns, lines] of [
    [60, 10],
    [132, 40],
    [30, 5],
    [80, 24],
  ] as const) {
    top.resize(columns, lines);
    const shown = await until(`a screen of ${columns} by ${lines}`, () => {
      const now = top.lines();
      return now.length === lines && now[0]?.startsWith("grid.csv: ") && now.at(-1)?.startsWith("up, down")
        ? now
        : null;
    });
    for (const line of shown) expect([...line].length).toBeLessThanOrEqual(columns);
  }
  top.press("C-z");
  await top.shows(/Stopped/);
  top.type("echo at the shell");
  await top.shows(/^at the shell$/m);
  top.type("fg");
  await top.shows(/^STATE/m);
  top.press("C-c");
  await top.shows(/^\$ $|at the shell/m);
  top.type("echo over");
  await top.shows(/^over$/m);
});

test("a change is on the screen by itself", async () => {
  const row: LabRow = { strategy: "s", dataset: "D", model: "m", state: "running", step: 8000 };
  const top = await startTop([row]);
  expect(top.screen()).toMatch(/^running +s\/d\/m +alice .* 10 %$/m);
  await top.lab.finish(row);
  await until("the row's end on the screen", () => (/^done +s\/d\/m/m.test(top.screen()) ? true : null), 20_000);
  top.press("q");
  await top.shows(/^code=0$/m);
});

test("without a terminal it prints all rows once; a hostile name moves no cursor", async () => {
  const lab = await Lab.open(await temporaryRoot(), pictureRows());
  const { stdout, exitCode } = await trainlock(["top", ...lab.args]);
  expect(exitCode).toBe(0);
  expect(stdout.split("\n")).toHaveLength(1 + 144 + 1);
  expect(stdout).toMatch(/^running +gen_TSIT\/mapillaryvistas\/deeplabv3plus_r50 .*quiet for 3 h 6 min$/m);
  expect(stdout).not.toContain("\x1b");
  const bad = await trainlock(["top", "--root", lab.root, `${lab.root}/nothing.csv`]);
  expect(bad.exitCode).toBe(2);
  const hostile: LabRow = {
    strategy: "s\u202ex",
    dataset: "D",
    model: "m",
    state: "running",
    user: "\x1b[2J\x1b]0;x\x07",
  };
  const other = await Lab.open(await temporaryRoot(), [hostile]);
  const shown = await trainlock(["top", ...other.args]);
  expect(shown.stdout).toContain("s\\u{202e}x/d/m");
  expect(shown.stdout).not.toMatch(/[\x1b\x07\u202e]/u);
});

test("keys are read as they come, several at once, cut or unknown", () => {
  expect(readKeys("\x1b[A\x1bOBjk/\r\x7f\x1b[5~\x1b")).toEqual([
    "up",
    "down",
    "j",
    "k",
    "/",
    "enter",
    "backspace",
    "page-up",
    "escape",
  ]);
  expect(readKeys("\x1b[1;5Cä\u{1f600}")).toEqual(["unknown", "ä", "\u{1f600}"]);
  let view = firstView("grid");
  for (const key of readKeys("\x1b[B\r/a\u202e\x07b\x7f\r")) view = pressKey(view, key, { columns: 80, lines: 24 });
  expect(view).toMatchObject({ find: "a", typing: false, over: false });
  expect(screenOf(view, { columns: 20, lines: 6 }, Date.now())).toHaveLength(6);
});

test("list --watch --every lists as often as it is told to", async () => {
  const root = await temporaryRoot();
  writeFileSync(`${root}/x`, "");
  const watching = startTrainlock(["list", "--root", root, "--watch", "--every", "0.2s"]);
  await watching.waitFor("Every 0.2 s");
  await until("three lists", () => (watching.stdout().split("Every 0.2 s").length > 3 ? true : null));
  watching.kill("SIGTERM");
  await watching.finished;
  expect(await trainlock(["list", "--root", root, "--every", "5s"])).toMatchObject({ exitCode: 2 });
  expect(await trainlock(["list", "--root", root, "--watch", "--every", "0"])).toMatchObject({ exitCode: 2 });
});

test("a failed row says what its log ended with and where that is; names keep their ends, and empty columns take no room", async () => {
  const root = await temporaryRoot();
  writeFileSync(`${root}/trainlock.yaml`, "done:\n  when: [x.pth]\n");
  const grid = `${root}/g.yaml`;
  writeFileSync(
    grid,
    "- {strategy: gen_TSIT, dataset: IDD-AW, model: segformer_mit-b3_with_a_long_name_of_its_own, ratio: [0.25, 0.5]}\n",
  );
  const fails = "echo reading; printf 'no \\033[31mmemory\\033[0m left\\n'; exit 3";
  await trainlock(["work", grid, "--root", root, "--ratio", "0.5", "--", "sh", "-c", fails]);
  const terminal = await startTerminal({ TOP: `${executable} top ${grid} --root ${root} --scheduler none` });
  terminal.resize(80, 24);
  terminal.type("$TOP");
  await terminal.shows(/^STATE +CONFIGURATION$/m);
  const names = terminal.lines().filter((line) => /^(failed|free) /.test(line));
  expect(names).toEqual([
    expect.stringMatching(/^failed +gen_TSIT.*…?.*_ratio0p50$/),
    expect.stringMatching(/_ratio0p25$/),
  ]);
  terminal.press("Enter");
  const detail = await terminal.shows(/^said last +no memory left$/m);
  expect(detail).toMatch(/^said last +reading$/m);
  expect(detail.replaceAll(/\n +/g, "")).toMatch(/^log +\/.*\/trainlock-logs\/1\.log$/m);
  expect(detail.replaceAll(/\n +/g, "")).toContain(`--grid ${grid}`);
  terminal.press("q");
  terminal.press("q");
});

test("names that are cut still show each part: two rows that differ in their dataset alone look different", async () => {
  const root = await temporaryRoot();
  const grid = join(root, "grid.yaml");
  writeFileSync(
    grid,
    "- { strategy: gen_VisualCloze_long_name, dataset: [IDD-AW, BDD10k], model: segformer_mit-b5, ratio: [0.25, 0.5] }\n",
  );
  const top = await startTerminal({ TOP: [executable, "top", grid, "--root", root].join(" ") });
  top.resize(50, 24);
  top.type("$TOP; echo code=$?");
  const shown = await top.shows(/^STATE +CONFIGURATION/m);
  const rows = shown.split("\n").filter((line) => line.startsWith("free"));
  expect(rows).toEqual([
    expect.stringMatching(/^free +gen_\S*…\S*\/idd-aw\/\S*…\S*0p25$/),
    expect.stringMatching(/^free +gen_\S*…\S*\/idd-aw\/\S*…\S*0p50$/),
    expect.stringMatching(/^free +gen_\S*…\S*\/bdd10k\/\S*…\S*0p25$/),
    expect.stringMatching(/^free +gen_\S*…\S*\/bdd10k\/\S*…\S*0p50$/),
  ]);
  for (const row of rows) expect([...row].length).toBeLessThanOrEqual(50);
  top.press("q");
  await top.shows(/^code=0$/m);
});
