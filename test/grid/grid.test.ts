import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { FieldReader } from "../../src/grid/fields.ts";
import { readGrid } from "../../src/grid/read-grid.ts";
import { readSelection } from "../../src/grid/selection.ts";
import { openLayout } from "../../src/site/open-site.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

function siteWith(text = "dimensions:\n  seed: { type: integer, prefix: _seed, optional: true }\n") {
  const root = mkdtempSync(join(tmpdir(), "grid-"));
  writeFileSync(join(root, "trainlock.yaml"), text);
  return openLayout({ root }, {});
}

const layout = siteWith();

async function rowsOf(
  name: string,
  text: string,
  given: Record<string, string> = {},
  sets: string[] = [],
  site = layout,
) {
  const file = join(site.root, name);
  writeFileSync(file, text);
  const grid = await readGrid(
    new FieldReader(site),
    { kind: "file", path: file },
    readSelection(new FieldReader(site), given, sets),
  );
  return grid.rows;
}

async function shortRows(...call: Parameters<typeof rowsOf>): Promise<string[]> {
  return (await rowsOf(...call)).map(({ configuration: c }) =>
    [c.strategy, c.dataset, c.model, c.ratio, c.stage, ...Object.values(c.dimensions)]
      .filter((v) => v !== null)
      .join(" "),
  );
}

async function mistakeIn(...call: Parameters<typeof rowsOf>): Promise<string> {
  try {
    const rows = await rowsOf(...call);
    return `no mistake: ${rows.length} rows`;
  } catch (error) {
    const { message, hint, exitCode } = error as { message: string; hint: string; exitCode: number };
    return `${exitCode} ${message.replaceAll(`${(call[4] ?? layout).root}/`, "")} | ${hint}`;
  }
}

test("a grid is the union of its blocks, each the product of its lists, in the order written", async () => {
  const grid = `
- strategy: [baseline, std_cutmix]
  dataset: [BDD10k, IDD-AW]
  model: pspnet_r50
- strategy: [gen_TSIT, gen_cycleGAN]
  dataset: IDD-AW
  model: [pspnet_r50]
  ratio: [0.25, none]
  seed: 1..2
  exclude: [{ strategy: gen_TSIT, ratio: 0.25 }, { strategy: gen_cycle*, seed: 2 }]
- { strategy: baseline, dataset: IDD-AW, model: pspnet_r50 }
`;
  expect(await shortRows("grid.yaml", grid)).toEqual([
    "baseline BDD10k pspnet_r50",
    "baseline IDD-AW pspnet_r50",
    "std_cutmix BDD10k pspnet_r50",
    "std_cutmix IDD-AW pspnet_r50",
    "gen_TSIT IDD-AW pspnet_r50 1",
    "gen_TSIT IDD-AW pspnet_r50 2",
    "gen_cycleGAN IDD-AW pspnet_r50 0.25 1",
    "gen_cycleGAN IDD-AW pspnet_r50 1",
  ]);
});

test("values are the text as written; a ratio is a number; none, null and nothing are absent", async () => {
  const [row] = await rowsOf(
    "text.yaml",
    "- { strategy: 01, dataset: 1e5, model: '007', ratio: 0.50, aux_loss: ~, stage: null, seed: none }\n",
  );
  expect(row?.configuration).toEqual({
    strategy: "01",
    dataset: "1e5",
    model: "007",
    ratio: 0.5,
    auxLoss: null,
    stage: null,
    dimensions: {},
  });
});

test("numbers of JSON are the text as written, too", async () => {
  const line =
    '{"needs": [{"model": 7.0}], "strategy": 1e5, "dataset": 1.0, "model" : 12345678901234567890123, "seed": 3.0}';
  expect(await shortRows("numbers.jsonl", `${line}\n`)).toEqual(["1e5 1.0 12345678901234567890123 3"]);
});

test("a block takes in what another has, by `<<: *name`; its own keys go before", async () => {
  const merged = `\uFEFF- &base
  strategy: [a, b]
  dataset: d
  model: m
- <<: [*base, { ratio: 0.5, model: n }]
  strategy: c
- <<: &circle { <<: *circle, dataset: e, strategy: f }
  model: m
`;
  expect(await shortRows("merged.yaml", merged)).toEqual(["a d m", "b d m", "c d m 0.5", "f e m"]);
  expect(await mistakeIn("merged.yaml", "- { <<: 3, strategy: a, dataset: d, model: m }\n")).toMatch(
    /^2 merged.yaml:1: \[0\].<<: expected a mapping/,
  );
});

test("rows that need each other are refused: they would wait for ever", async () => {
  const parted = siteWith(
    "weights:\n  - { path: 'W_{stage|bare}/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}', when: { stage: given } }\n" +
      "  - 'W/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}'\n",
  );
  const stages = "- { strategy: [a, b], dataset: d, model: m, stage: [1, 2], needs: [{ stage: 1 }] }\n";
  expect(await shortRows("stages.yaml", stages, {}, [], parted)).toHaveLength(4);
  const block = (stage: number, needed: number) =>
    `- { strategy: a, dataset: d, model: m, stage: ${stage}, needs: [x, { stage: ${needed} }] }\n`;
  const circle = block(0, 1) + block(1, 2) + block(2, 3) + block(3, 1);
  expect(await mistakeIn("circle.yaml", circle, {}, [], parted)).toMatch(
    /^2 circle.yaml:2: .*stage 1 needs .*stage 2, which needs it in turn/,
  );
  const chain = Array.from({ length: 20 }, (_, at) => block(at, at + 1)).join("");
  expect(await shortRows("chain.yaml", chain, {}, [], parted)).toHaveLength(20);
});

test("what shows a needed row to be done goes along with the need, also where that row is not chosen", async () => {
  const parted = siteWith(
    "done: { when: [iter_80000.pth] }\nweights:\n" +
      "  - { path: 'W_{stage|bare}/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}', when: { stage: given } }\n" +
      "  - 'W/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}'\n",
  );
  const block = (strategy: string, steps: number) =>
    `- { strategy: ${strategy}, dataset: d, model: m, stage: 1, done: { when: iter_${steps}.pth } }\n`;
  const grid =
    `${block("a", 15000)}${block("b", 20000)}- { strategy: c, dataset: d, model: m, stage: 1 }\n` +
    "- { strategy: [a, b, c], dataset: d, model: m, stage: 2, needs: [{ stage: 1 }] }\n";
  const neededBy = async (name: string, text: string) =>
    (await rowsOf(name, text, { stage: "2" }, [], parted)).map(({ settings: { needs } }) =>
      needs.map((need) => (need.kind === "row" ? (need.done?.when ?? null) : null)),
    );
  expect(await neededBy("needed.yaml", grid)).toEqual([[["iter_15000.pth"]], [["iter_20000.pth"]], [null]]);
  // As in the part of a grid that an array job has.
  const line =
    '{"strategy": "a", "dataset": "d", "model": "m", "stage": "2", "needs": [{"stage": "1", "done": {"when": "x"}}]}';
  expect(await neededBy("needed.jsonl", `${line}\n`)).toEqual([[["x"]]]);
});

test("tables of spreadsheets are read: comma, semicolon, tab, quotes, byte order mark, line ends of Windows", async () => {
  const rows = ["baseline d m", "gen_x d m 0.5"];
  expect(await shortRows("a.csv", "strategy,dataset,model,ratio\nbaseline,d,m,\ngen_x,d,m,0.5\n")).toEqual(rows);
  expect(
    await shortRows("b.csv", '\uFEFFStrategy;Dataset;Model;Ratio\r\n"baseline";d;m;\r\ngen_x;d;m;0.5\r\n'),
  ).toEqual(rows);
  expect(await shortRows("c.tsv", "strategy\tdataset\tmodel\tratio\nbaseline\td\tm\tnone\ngen_x\td\tm\t0.5")).toEqual(
    rows,
  );
  expect(await shortRows("e.csv", "strategy;dataset;model;ratio\nbaseline;d;m;\ngen_x;d;m;0,5\n")).toEqual(rows);
  expect(await mistakeIn("e.csv", "strategy;dataset;model;ratio\nx,5;d;m;0,5\ngen_x;d;m;5,0\n")).toMatch(
    /^2 e.csv:3: ratio: "5.0" is not/,
  );
  expect(await mistakeIn("e.csv", 'strategy,dataset,model,ratio\nb,d,m,"0,5"\n')).toMatch(/ratio: "0,5" is not/);
  expect(await shortRows("g.csv", "strategy\tdataset\tmodel\tratio\nbaseline\td\tm\t\ngen_x\td\tm\t0.5\n")).toEqual(
    rows,
  );
  const padded = "strategy,dataset,model,ratio,,\nbaseline,d,m,None,,\n,,,,,\ngen_x,d,m,0.5,,\n,,,\n";
  expect(await shortRows("h.csv", padded)).toEqual(rows);
  expect(await shortRows("h.csv", padded.replace("baseline", '"baseline"'))).toEqual(rows);
  expect(await mistakeIn("h.csv", "strategy,dataset,model,,\na,d,m,,x\n")).toMatch(/^2 h.csv:2: 5 cells/);
  const line = (strategy: string, ratio: number | null) =>
    JSON.stringify({ strategy, dataset: "d", model: "m", ratio });
  expect(await shortRows("d.jsonl", `${line("baseline", null)}\n\n${line("gen_x", 0.5)}\n`)).toEqual(rows);
});

test("options select rows of a file, and are a grid without one", async () => {
  const grid = "- { strategy: [a, b], dataset: d, model: [m, n], ratio: [none, 0.5] }\n";
  expect(await shortRows("s.yaml", grid, { strategy: "b", ratio: "none" })).toEqual(["b d m", "b d n"]);
  expect(await shortRows("s.yaml", grid, { model: "n*", ratio: "0.50" })).toEqual(["a d n 0.5", "b d n 0.5"]);
  const selection = readSelection(new FieldReader(layout), { strategy: "a,b", dataset: "d", model: "m" }, [
    "seed=1..2",
  ]);
  const alone = await readGrid(new FieldReader(layout), { kind: "options" }, selection);
  expect(alone.rows.map(({ configuration }) => [configuration.strategy, configuration.dimensions.seed])).toEqual([
    ["a", 1],
    ["a", 2],
    ["b", 1],
    ["b", 2],
  ]);
});

test("options without a grid: a pattern chooses nothing, a list may be given in pieces, and too few are named", async () => {
  const root = await temporaryRoot();
  const plan = (...options: string[]) => trainlock(["plan", "--root", root, ...options]);
  const rest = ["--dataset", "d", "--model", "m"];
  expect(await plan("--strategy", "gen_*", ...rest)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/--strategy "gen_\*" is a pattern.*\n.*name the grid file/),
  });
  expect(await plan("--strategy", "a", "--dataset", "d")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringMatching(/no rows from which.*\n.*give --model, too/),
  });
  const { stdout } = await plan("--strategy", "a,b", "--strategy", "c", ...rest, "--format", "{strategy} {other}");
  expect(stdout).toBe("a {other}\nb {other}\nc {other}\n");
  expect(await plan("--strategy", "a", ...rest, "--format", "{stratgy}")).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining("did you mean {strategy}?"),
  });
});

test("a mistake names file, line and key, and the way out", async () => {
  const block = (more: string) => `- strategy: [a, b]\n  dataset: d\n  model: m\n${more}`;
  expect(await mistakeIn("x.yaml", block("  modle: n\n"))).toMatch(/^2 x.yaml:4: .*modle.*did you mean model/);
  expect(await mistakeIn("x.yaml", block("  seed: 3..1\n"))).toMatch(
    /^2 x.yaml:4: seed: the range 3..1 goes backwards \| write 1..3/,
  );
  for (const range of ["-1..3", "1.5..3", "01..03", "1..99999999999999999999"])
    expect(await mistakeIn("x.yaml", block(`  stage: ${range}\n`))).toMatch(
      /^2 x.yaml:4: stage: the range .* is not of plain whole numbers/,
    );
  expect(await mistakeIn("x.yaml", `---\n${block("")}---\n${block("")}`)).toMatch(
    /^2 x.yaml:\d: not valid YAML: a second document begins/,
  );
  expect(await mistakeIn("x.yaml", block("  ratio: 1.5\n"))).toBe(
    '2 x.yaml:4: ratio: "1.5" is not a number from 0 to 1 | for example 0.5',
  );
  expect(await mistakeIn("x.yaml", block("  seed: x\n"))).toMatch(
    /^2 x.yaml:4: seed: "x" is not an integer of 0 or more/,
  );
  expect(await mistakeIn("x.yaml", block("  modle: n\n"))).not.toContain("older than the file");
  expect(await mistakeIn("x.yaml", block("  quite_another: n\n"))).toContain("older than the file");
  expect(await mistakeIn("x.yaml", block("\tratio: 0.5\n"))).toMatch(/^2 x.yaml:\d: .*Line 4 has a tab, and YAML/);
  expect(await mistakeIn("x.yaml", "-\tstrategy: a\n\tdataset: d\n")).toMatch(
    /^2 x.yaml:1: not valid YAML: Tabs are not allowed as indentation \|/,
  );
  expect(await mistakeIn("x.yaml", "# later\n")).toMatch(/^2 x.yaml: the file is empty/);
  expect(await mistakeIn("x.yaml", block("  exclude: [{ strategy: gen_x }]\n"))).toMatch(
    /^2 x.yaml:4: strategy: no row has "gen_x"/,
  );
  expect(await mistakeIn("x.yaml", "- { strategy: a, dataset: d }\n")).toMatch(/^2 x.yaml:1: model is missing/);
  expect(await mistakeIn("x.yaml", "- { strategy: ../up, dataset: d, model: m }\n")).toMatch(
    /^2 x.yaml:1: strategy: .*contains/,
  );
  expect(await mistakeIn("x.yaml", block("  done: { when: ../x.pth }\n"))).toMatch(
    /^2 x.yaml:4: .*inside the weights dir/,
  );
  expect(await mistakeIn("x.yaml", block("  needs: ['{rooot}/x']\n"))).toMatch(/^2 x.yaml:4: /);
  expect(await mistakeIn("x.yaml", block("  submit: [rm]\n"))).toMatch(/^2 x.yaml:4: /);
  expect(await mistakeIn("x.csv", "strategy,dataset,modell\na,d,m\n")).toMatch(
    /^2 x.csv:1: .*modell.*did you mean model/,
  );
  expect(await mistakeIn("x.csv", "strategy,dataset,model\na,d,m,n\n")).toMatch(/^2 x.csv:2: 4 cells/);
  expect(await mistakeIn("x.jsonl", '{"strategy": "a"\n')).toMatch(/^2 x.jsonl:1: /);
  expect(await mistakeIn("x.txt", "")).toMatch(/^2 x.txt: not a grid by its name/);
  expect(await mistakeIn("s.yaml", block(""), { strategy: "c" })).toMatch(/^2 --strategy: no row has "c"/);
});

test("two rows with one weights dir or one lock name are refused, with the line that parts them", async () => {
  const stages = await mistakeIn("p.yaml", "- { strategy: a, dataset: d, model: m, stage: [1, 2] }\n");
  expect(stages).toMatch(/one weights dir.*stage 1.*stage 2.*WEIGHTS_STAGE_\{stage\|bare\}.*when: \{ stage: given \}/);
  const line = / (- \{ path.*)$/.exec(stages)?.[1] ?? "";
  const parted = siteWith(
    `weights:\n  ${line}\n  - "WEIGHTS/{strategy}/{dataset|lower}_cd/{model}{ratio}{aux_loss}"\n`,
  );
  const both = "- { strategy: a, dataset: d, model: m, stage: [1, 2, none] }\n";
  expect(await shortRows("p.yaml", both, {}, [], parted)).toEqual(["a d m 1", "a d m 2", "a d m"]);
  const names = await mistakeIn(
    "l.yaml",
    "- { strategy: a_b, dataset: c, model: m }\n- { strategy: a, dataset: b_c, model: m }\n",
  );
  expect(names).toMatch(/l.yaml:2: two rows have one lock name.*l.yaml:1/);
});

test("hostile files end with a clear error, in bounded time and memory", async () => {
  const cycle = "- &a\n  strategy: &l [x, *l]\n  dataset: d\n  model: *a\n";
  expect(await mistakeIn("cycle.yaml", cycle)).toMatch(/^2 cycle.yaml:/);
  const bomb =
    "- &a [x,x,x,x,x,x,x,x,x]\n- &b [*a,*a,*a,*a,*a,*a,*a,*a]\n- &c [*b,*b,*b,*b,*b,*b]\n- {strategy: *c, dataset: d, model: m}\n";
  expect(await mistakeIn("bomb.yaml", bomb)).toMatch(/^2 bomb.yaml:/);
  expect(await mistakeIn("many.yaml", "- { strategy: s, dataset: d, model: m, seed: 1..9999999 }\n")).toMatch(
    /9999999 values/,
  );
  expect(
    await mistakeIn("many.yaml", "- { strategy: s, dataset: d, model: m, seed: 1..10000, stage: 1..1000 }\n"),
  ).toMatch(/10000000 rows, more than/);
  // Each of these took ten seconds and more, or gigabytes.
  const aliases = `- &a { strategy: [&x s${", *x".repeat(100_000)}], dataset: d, model: m }\n`;
  expect(await shortRows("aliases.yaml", aliases)).toEqual(["s d m"]);
  for (const level of ["[", "{", "- ", "? ", "[ {", "- &a "])
    expect(await mistakeIn("deep.yaml", `# deep\n- strategy: s\n${level.repeat(500_000)}`)).toMatch(
      /^2 deep.yaml:3: lists and mappings are nested too deeply/,
    );
  expect(
    await shortRows("flat.yaml", "- { strategy: ['a[{', b], dataset: [d], model: [m] }\n".repeat(300)),
  ).toHaveLength(2);
  const chain = Array.from({ length: 2000 }, (_, at) => `- &m${at + 1} { <<: [${`*m${at}, `.repeat(9)}] }\n`);
  expect(await mistakeIn("chain.yaml", `- &m0 { strategy: s, dataset: d, model: m }\n${chain.join("")}`)).toMatch(
    /^2 chain.yaml:\d+: .* no more than 100 mappings in one/,
  );
  expect(await mistakeIn("nul.csv", "strategy,dataset,model\na\0,d,m\n")).toMatch(/NUL/);
  expect(await mistakeIn("no.yaml", "- {strategy: [a, b}\n")).toMatch(/^2 no.yaml:1: not valid YAML/);
  expect(await mistakeIn("empty.yaml", "")).toMatch(/^2 empty.yaml: the file is empty/);
  expect(await mistakeIn("empty.yaml", "[]\n")).toMatch(/^2 empty.yaml:1: .*at least one block/);
  expect(await mistakeIn("empty.jsonl", "\n")).toMatch(/^2 empty.jsonl: it has no rows/);
  expect(await mistakeIn("head.csv", "strategy,dataset,model\n")).toMatch(/^2 head.csv: it has no rows/);
  const torn = '{"strategy": "a", "dataset": "d", "model": "m"}\n{"strategy": "b", "dat';
  expect(await mistakeIn("torn.jsonl", torn)).toMatch(/^2 torn.jsonl:2: /);
  expect(await mistakeIn("torn.csv", 'strategy,dataset,model\na,d,m\n"b,d,m\n')).toMatch(/^2 torn.csv:3: .*[Qq]uote/);
  expect(await mistakeIn("short.csv", "strategy,dataset,model\na,d\n")).toMatch(/^2 short.csv:2: model is missing/);
});

test("a key that stands twice is refused, and a name in a value is no key", async () => {
  expect(await mistakeIn("t.yaml", "- strategy: a\n  dataset: d\n  strategy: b\n  model: m\n")).toMatch(
    /^2 t.yaml:3: not valid YAML: strategy: Map keys must be unique/,
  );
  expect(await mistakeIn("t.csv", "model,dataset,model,strategy\nm,d,m,a\n")).toMatch(
    /^2 t.csv:1: .*model stands twice/,
  );
  const line = '"strategy": "a", "dataset": "d", "model": "m"';
  expect(await mistakeIn("t.jsonl", `{${line}}\n{${line}, "mod\\u0065l": "n"}\n`)).toMatch(
    /^2 t.jsonl:2: model stands twice/,
  );
  const needs = '"needs": [{"model": "x"}], "done": {"file": "\\"model\\":.json"}';
  expect(await shortRows("n.jsonl", `\uFEFF{${line}, ${needs}}\r\n`)).toEqual(["a d m"]);
});

test("a folder, a pipe and a device are no grid files", async () => {
  const root = await temporaryRoot();
  mkdirSync(join(root, "folder.yaml"));
  spawnSync("mkfifo", [join(root, "pipe.csv")]);
  symlinkSync("/dev/zero", join(root, "zero.jsonl"));
  for (const name of ["folder.yaml", "pipe.csv", "zero.jsonl"]) {
    const { exitCode, stderr } = await trainlock(["plan", join(root, name), "--root", root]);
    expect([name, exitCode, stderr]).toEqual([name, 2, expect.stringContaining(`${name} is no grid file, but `)]);
  }
});

test("a link to a grid file is read", async () => {
  const root = await temporaryRoot();
  writeFileSync(join(root, "grid.yaml"), "- { strategy: a, dataset: d, model: m }\n");
  symlinkSync("grid.yaml", join(root, "link.yaml"));
  const { exitCode, stdout } = await trainlock(["plan", join(root, "link.yaml"), "--root", root, "--format", "{name}"]);
  expect([exitCode, stdout]).toEqual([0, "a/d/m\n"]);
});

test("a hundred thousand rows are read", async () => {
  const lines = Array.from({ length: 100_000 }, (_, index) => `s${index},d,m`).join("\n");
  expect(await rowsOf("large.csv", `strategy,dataset,model\n${lines}\n`)).toHaveLength(100_000);
});
