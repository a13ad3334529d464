import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { UsageError } from "../../src/model/errors.ts";
import { parseSiteFile } from "../../src/site/site-file.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const dims = "dimensions:\n  seed: { type: integer }\n";
const model = "{model}{ratio}{aux_loss}";

type Mistake = readonly [text: string, message: string | RegExp];

const mistakes: readonly Mistake[] = [
  ["lock_dir: [", /^site:\d+: not valid YAML: /],
  ["- lock_dir", "site:1: expected a mapping (`key: value`), found a list"],
  ["lock_dir: a\nlock_dir: b\n", /^site:2: not valid YAML: .*unique/],
  ["\nlockdir: a\n", "site:2: lockdir: no such key; did you mean lock_dir?"],
  ["colour: a\n", /^site:1: colour: no such key; one of version, lock_dir/],
  ["version: 2\n", "site:1: version: expected 1, the only version that this trainlock knows, found 2"],
  ["lock_dir:\n", /^site:1: lock_dir: expected a path within the root.*, found nothing$/],
  ["lock_dir: /etc\n", /^site:1: lock_dir: expected a path within the root/],
  ["lock_dir: a/../../b\n", /^site:1: lock_dir: expected a path within the root/],
  ["a: &x 1\n", /^site:1: a: no such key/],
  ["record: off\n", /^site:1: record: expected a mapping/],
  ["record: { command: no }\n", 'site:1: record.command: expected one of on, off, found "no"'],
  ["lock_primitive: lockf\n", 'site:1: lock_primitive: expected one of flock, ofd, found "lockf"'],
  ["datasets: []\n", "site:1: datasets: expected different names of datasets, found a list"],
  ["datasets:\n  - A\n  - 3\n", "site:3: datasets[1]: expected the name of a dataset, found 3"],
  ["group: 'a b'\n", 'site:1: group: expected the name or number of a group, found "a b"'],
  ["mode: 999\n", /^site:1: mode: expected permissions in octal/],
  ["mode: 0464\n", /^site:1: mode: expected permissions in octal/],
  ["mode: 0775\n", /^site:1: mode: expected permissions in octal.*and nobody execute/],
  ["hosts:\n  - node01\n  - -oProxyCommand=x\n", /^site:3: hosts\[1\]: expected a host name/],
  ["scheduler: sloom\n", 'site:1: scheduler: expected one of auto, lsf, slurm, pbs, sge, none, found "sloom"'],
  ["progress: train.log\n", /^site:1: progress: expected a mapping/],
  ["progress: { file: train.log }\n", /^site:1: progress: expected a `line`/],
  [
    "progress:\n  file: ../x.log\n  line: '{step}'\n",
    /^site:2: progress.file: expected the name of a file in the weights/,
  ],
  ["progress:\n  file: 'a*/x'\n  line: '{step}'\n", /^site:2: progress.file: expected the name/],
  ["progress:\n  file: x\n  line: 'at {of}'\n", /^site:3: progress.line: expected a text with \{step\} once/],
  ["progress:\n  file: x\n  line: '{step}{of}'\n", /^site:3: progress.line: expected/],
  ["progress:\n  file: x\n  line: '{step} {(a+)+}'\n", /^site:3: progress.line: expected/],
  ["ssh:\n  proxy_command: x\n", /^site:2: ssh.proxy_command: no such key/],
  ["ssh:\n  port: 0\n", "site:2: ssh.port: expected a port, 1 to 65535, found 0"],
  ["ssh:\n  user: -l\n", 'site:2: ssh.user: expected a user name, found "-l"'],
  [
    "timeouts:\n  ssh: soon\n",
    'site:2: timeouts.ssh: expected a duration such as 10s or 1m, at most 10m, found "soon"',
  ],
  ["dimensions:\n  seed: integer\n", 'site:2: dimensions.seed: expected a mapping (`key: value`), found "integer"'],
  ["dimensions:\n  seed: {}\n", "site:2: dimensions.seed: expected a `type`, found a mapping"],
  ["dimensions:\n  seed:\n    type: int\n", /^site:3: dimensions.seed.type: expected one of integer, number, text/],
  [
    "dimensions:\n  seed:\n    type: integer\n    optional: maybe\n",
    /^site:4: dimensions.seed.optional: expected true or false/,
  ],
  ["dimensions:\n  model: { type: text }\n", /^site:2: dimensions.model: expected a dimension's name/],
  [
    "dimensions:\n  a: { type: text, prefix: _x }\n  b: { type: text, prefix: _x }\n",
    /different prefixes: "_x" is there twice/,
  ],
  [
    "dimensions:\n  seed: { type: integer, values: [1, two] }\n",
    /^site:2: dimensions.seed.values\[1\]: expected an integer/,
  ],
  ["weights: WEIGHTS/{strategy}/{dataset}\n", /^site:1: weights: expected .*leaves out \{model\}/],
  [`${dims}weights: W/{strategy}/{dataset}/${model}\n`, /^site:3: weights: .*leaves out \{seed\}/],
  [`weights: W/{stratgy}/{dataset}/${model}\n`, /^site:1: weights: expected `strategy` between '\{' and '\}'/],
  [`weights: W/{strategy}/{dataset|lowr}/${model}\n`, /^site:1: weights: expected `lower` as a filter/],
  [`weights: W/{strategy/{dataset}/${model}\n`, /^site:1: weights: expected each '\{' with its '\}'/],
  [`weights: W/{strategy}_{dataset}/${model}\n`, /\{strategy\} and \{dataset\} run together/],
  [`weights: W/{stage}{strategy}/{dataset}/${model}\n`, /\{stage\} and \{strategy\} run together/],
  [`weights: W/{strategy}/{dataset}/{ratio}/{model}{aux_loss}\n`, /has a folder without a name when/],
  [`weights: W/{strategy}/{strategy}/{dataset}/${model}\n`, /names \{strategy\} twice/],
  [
    `weights:\n  - W/{strategy}/{dataset}/${model}\n  - V/{strategy}/{dataset}/${model}\n`,
    /^site:3: weights\[1\]: .*takes every configuration/,
  ],
  [
    `weights:\n  - path: W/{strategy}/{dataset}_cd/${model}\n    when: { stage: 1 }\n  - W/{strategy}/{dataset}/${model}\n`,
    /^site:4: weights\[1\]: .*can lead to the same folder/,
  ],
  [
    `weights:\n  - path: W/{strategy}/{dataset}/${model}\n    when: { stage: 1 }\n  - W/{strategy}/{dataset}/${model}/runs\n`,
    /^site:4: weights\[1\]: .*can lie within those of/,
  ],
  [
    `weights:\n  - path: W/{strategy}/{dataset}/${model}\n    when: { stge: 1 }\n`,
    /^site:3: weights\[0\].when.stge: expected a condition on `stage`/,
  ],
  [
    `datasets: [A-B, AB]\nweights: W/{strategy}/{dataset|no_hyphens}/${model}\n`,
    /its filters make two values of \{dataset\} the same name/,
  ],
];

test.each(mistakes)("names line, key and what was expected: %j", (text, message) => {
  let thrown: unknown;
  try {
    parseSiteFile(text, "site");
  } catch (error) {
    thrown = error;
  }
  expect(thrown).toBeInstanceOf(UsageError);
  const said = thrown instanceof UsageError ? thrown.message : "";
  if (typeof message === "string") expect(said).toBe(message);
  else expect(said).toMatch(message);
});

test("every command that looks at the site ends with exit 2 and does nothing", async () => {
  const root = await temporaryRoot();
  const file = join(root, "trainlock.yaml");
  writeFileSync(file, "# a site\nlockdir: x\n");
  const names = ["--strategy", "a", "--dataset", "b", "--model", "c"];
  for (const args of [["list"], ["clear"], ["config"], ["check", ...names], ["run", ...names, "--", "true"]]) {
    const [command = "", ...rest] = args;
    const { exitCode, stdout, stderr } = await trainlock([command, "--root", root, ...rest]);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain(`${file}:2: lockdir: no such key; did you mean lock_dir?`);
  }
});
