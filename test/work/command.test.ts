import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { CommandTemplate, type RowValues } from "../../src/work/command-template.ts";
import { trainlock } from "../support/trainlock.ts";
import { done, workSite } from "./site.ts";

const row: RowValues = {
  fields: new Map([
    ["strategy", "gen_X"],
    ["dataset", "IDD-AW"],
    ["model", "m"],
    ["ratio", "0.5"],
    ["aux_loss", null],
    ["stage", null],
    ["seed", "3"],
  ]),
  weightsDir: "/data/W/gen_X",
  name: "gen_X/idd-aw/m",
  checkpoint: null,
};
const expand = (argv: string[], change: Partial<RowValues> = {}) =>
  new CommandTemplate(argv, ["seed"]).expand({ ...row, ...change });

test.each([
  [
    ["t", "{strategy}", "--out={weights_dir}/x", "{name}"],
    ["t", "gen_X", "--out=/data/W/gen_X/x", "gen_X/idd-aw/m"],
  ],
  [
    ["t", "{--ratio}", "{--seed}", "{--stage}", "{--aux-loss}", "{--resume}"],
    ["t", "--ratio", "0.5", "--seed", "3"],
  ],
  [
    ["t", "[{stage}]", "{checkpoint}", "{seed}"],
    ["t", "[]", "", "3"],
  ],
  [
    ["sh", "-c", "t {strategy} {--ratio} {--stage}"],
    ["sh", "-c", "t gen_X --ratio 0.5 "],
  ],
  [["t", '{"a": {"model": 1}}', "{}", "{a,b}", "{1..3}", `$${"{model}"}`, "{other_thing}"], null],
  [["{model}-{model}"], ["m-m"]],
])("%j", (argv, expected) => {
  expect(expand(argv)).toEqual(expected ?? argv);
});

test("a checkpoint is two arguments of the resume option", () => {
  const checkpoint = "/w/a b/iter_4.pth";
  expect(expand(["t", "{--resume}", "{checkpoint}"], { checkpoint })).toEqual([
    "t",
    "--resume",
    checkpoint,
    checkpoint,
  ]);
  expect(() => expand(["t", "x={checkpoint}"], { checkpoint })).toThrow(/^gen_X\/idd-aw\/m: /);
});

test.each(["strategi", "strtegy", "mdoel", "Model", "datasets", "weight_dir", "--ration", "nam"])(
  "{%s} is a slip",
  (name) => {
    expect(() => new CommandTemplate(["t", `x={${name}}`], ["seed"])).toThrow(`{${name}} in the command is no field`);
    expect(() => new CommandTemplate(["t", `x=\${${name}}`], ["seed"])).not.toThrow();
  },
);

const evil = [
  "a;touch pwned",
  "a$(touch pwned)",
  "a`touch pwned`",
  "a b",
  "a|b",
  "a&b",
  "a>b",
  "a'b",
  'a"b',
  "a\\b",
  "a*b",
  "~a",
  "a#b",
  "{model}",
  "ä",
  "$HOME",
  "a\ntouch pwned",
];

test.each(evil)("%j is an argument as it is, and no part of a longer one", (strategy) => {
  const fields = new Map([...row.fields, ["strategy", strategy]]);
  expect(expand(["t", "{strategy}", "{--strategy}"], { fields })).toEqual(["t", strategy, "--strategy", strategy]);
  expect(expand(["sh", "-c", 't "$1"', "sh", "{strategy}"], { fields }).at(-1)).toBe(strategy);
  expect(expand(["srun", "-c", "4", "bash", "-e", "t.sh", "{strategy}"], { fields }).at(-1)).toBe(strategy);
  for (const argv of [
    ["sh", "-c", "t {strategy}"],
    ["bash", "-lc", "{strategy}"],
    ["ssh", "host", "{strategy}"],
    ["timeout", "9", "/usr/bin/ssh", "host", "t", "{strategy}"],
    ["srun", "bash", "-c", "--", "{strategy}"],
    ["bash", "-c", "-x", "-o", "pipefail", "{strategy}"],
    ["bash", "-eco", "pipefail", "{strategy}"],
    ["env", "-S", "{strategy}"],
    ["su", "-", "ada", "--command", "{strategy}"],
    ["python3", "-c", "{strategy}"],
    ["perl", "-ne", "{strategy}"],
    ["docker", "run", "image", "sh", "-c", "{strategy}"],
    ["tmux", "new-session", "-d", "{strategy}"],
    ["t", "--name={strategy}"],
    ["sh", "-c", "t {--strategy}"],
    ["sh", "-ce", "{strategy}"],
    ["bash", "-c", "-x", "--", "{strategy}"],
    ["env", "ssh", "host", "{strategy}"],
    ["timeout", "9", "/usr/bin/ssh", "{model}", "{strategy}"],
    ["env", "sh", "-c", "{strategy}"],
    ["xargs", "sh", "-c", "{strategy}"],
    ["srun", "bash", "-c", "{strategy}"],
    ["python", "-c", "{strategy}"],
    ["perl", "-e", "{strategy}"],
    ["node", "--eval", "{strategy}"],
    ["sbatch", "--wrap", "{strategy}"],
    ["bsub", "-K", "t", "{strategy}"],
    ["sh", "-c", "eval {strategy}"],
    ["sh", "-c", 'eval "$@"', "sh", "{strategy}"],
    ["sh", "-c", 'cd /x;ssh host "$@"', "sh", "{strategy}"],
    ["awk", "-v", "x=1", "{strategy}"],
    ["sed", "{strategy}", "train.log"],
    ["nice", "/usr/bin/make", "-s", "train", "{strategy}"],
  ])
    expect(() => expand(argv, { fields }), argv.join(" ")).toThrow(
      /gen_X\/idd-aw\/m: \{(--)?strategy\} is .*, which may not stand (where the command has code|inside a longer argument)/,
    );
});

test("a value that begins with a dash is no option of what reads code, and an argument elsewhere", () => {
  const fields = new Map([...row.fields, ["strategy", "-oProxyCommand=/tmp/x"], ["dataset", "$(touch pwned)"]]);
  expect(expand(["t", "{strategy}", "--name={strategy}"], { fields })).toEqual([
    ...["t", "-oProxyCommand=/tmp/x", "--name=-oProxyCommand=/tmp/x"],
  ]);
  for (const argv of [
    ["ssh", "{strategy}", "host"],
    ["bash", "-c", "{strategy}", "touch pwned"],
  ])
    expect(() => expand(argv, { fields }), argv.join(" ")).toThrow(/would be an option/);
  const odd = { weightsDir: "/data/My Drive/x" };
  for (const argv of [
    ["t", "-dir", "{weights_dir}"],
    ["python", "eval.py", "{weights_dir}"],
    ["t", "--out", "{weights_dir}"],
  ])
    expect(expand(argv, odd).at(-1)).toBe(odd.weightsDir);
  // Whether the first one is an option depends on the row.
  expect(() => expand(["bash", "-c", "{model}", "{dataset}"], { fields })).toThrow(/has code/);
});

test("a hostile value reaches no shell: exit 2 before anything starts, or the value itself", async () => {
  for (const strategy of ["x$(touch pwned)", "x;touch pwned;", "x`touch pwned`", "x' \"touch"]) {
    const site = await workSite(["fine", strategy]);
    const inside = await site.work(done, ["sh", "-c", "touch started; echo {strategy}"], { cwd: site.root });
    expect(inside).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("TRAINLOCK_STRATEGY") });
    expect(existsSync(join(site.root, "started"))).toBe(false);
    const script = `printf '%s\\n' "$1" "$TRAINLOCK_STRATEGY" >"$TRAINLOCK_WEIGHTS_DIR/said"; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"`;
    const whole = await site.work(done, ["sh", "-c", script, "sh", "{strategy}"], { cwd: site.root });
    expect(whole.exitCode).toBe(0);
    expect(readFileSync(join(site.weightsDir(strategy), "said"), "utf8")).toBe(`${strategy}\n${strategy}\n`);
    expect(existsSync(join(site.root, "pwned"))).toBe(false);
  }
});

test("a value that a row does not have is empty in its environment, and names of ours stay ours", async () => {
  const site = await workSite("- { strategy: s, dataset: D, model: m, seed: 1, root: text }\n");
  site.write("trainlock.yaml", "dimensions: { seed: { type: integer }, root: { type: text } }\n");
  const script = `echo "[$TRAINLOCK_RATIO] [$TRAINLOCK_SEED] [$TRAINLOCK_ROOT]" >>"${site.root}/said"`;
  const env = { TRAINLOCK_RATIO: "0.9", TRAINLOCK_ROOT: site.root };
  await trainlock(["work", site.grid, "--scheduler", "none", "--", "sh", "-c", script], { env });
  expect(site.lines("said")).toEqual([`[] [1] [${site.root}]`]);
});
