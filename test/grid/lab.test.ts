import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { chmod } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";

const page = readFileSync(fileURLToPath(new URL("../../docs/grids.md", import.meta.url)), "utf8");

/** The block of the page after a comment of this name. */
function blockAfter(name: string): string {
  const [, text] = new RegExp(`<!-- ${name} -->\n\`\`\`\\w+\n([\\s\\S]*?)\`\`\``).exec(page) ?? [];
  if (text === undefined) throw new Error(`docs/grids.md has no ${name}`);
  return text;
}

interface Shown {
  readonly state: string;
  readonly reason: string | null;
  readonly configuration: Readonly<Record<string, string | number | null>>;
}

test("the lab's grid of the page: under 60 lines, and each row is in the state that its needs and its stage give it", async () => {
  const root = await temporaryRoot();
  const grid = blockAfter("grid: lab");
  expect(grid.split("\n").length).toBeLessThan(60);
  const file = join(root, "grid.yaml");
  writeFileSync(file, grid);
  writeFileSync(join(root, "trainlock.yaml"), blockAfter("site: lab"));
  mkdirSync(join(root, "GENERATED", "gen_TSIT", "IDD-AW"), { recursive: true });
  const trained = ["--strategy", "baseline", "--dataset", "ACDC", "--model", "pspnet_r50", "--stage", "1"];
  const training = ["--", "sh", "-c", 'head -c 2k /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/iter_80000.pth"'];
  expect(await trainlock(["run", "--root", root, ...trained, ...training])).toMatchObject({ exitCode: 0 });
  const planned = await trainlock(["plan", file, "--root", root, "--json"]);
  expect(planned).toMatchObject({ exitCode: 0, stderr: "" });
  const rows = JSON.parse(planned.stdout).rows as Shown[];
  const count = (test: (row: Shown) => boolean) => rows.filter(test).length;
  const [strategies, datasets, pairsLeft] = [28, 4, 21 * 4 - 3];
  expect(new Set(rows.map(({ configuration }) => configuration.strategy)).size).toBe(strategies);
  expect(new Set(rows.map(({ configuration }) => configuration.dataset)).size).toBe(datasets);
  expect(new Set(rows.map(({ configuration }) => configuration.model)).size).toBe(3);
  expect(count(({ configuration: { stage } }) => stage === 1)).toBe(7 * 4 * 3 + pairsLeft * 3 * 2);
  expect(count(({ configuration: { stage } }) => stage === 2)).toBe(7 * 4 * 2 + pairsLeft * 2 * 2);
  const isGenerated = ({ configuration: { strategy } }: Shown) => String(strategy).startsWith("gen_");
  expect(rows.every((row) => isGenerated(row) === (row.configuration.ratio !== null))).toBe(true);
  // One row is done, and what goes on from it is free; of generated data one folder is there; the rest is blocked.
  expect(count(({ state }) => state === "done")).toBe(1);
  const free = rows.filter(({ state }) => state === "free");
  expect(free.filter(isGenerated)).toHaveLength(3 * 2);
  expect(free.filter(({ configuration: { stage } }) => stage === 2).map(({ configuration }) => configuration)).toEqual([
    expect.objectContaining({ strategy: "baseline", dataset: "ACDC", model: "pspnet_r50", stage: 2 }),
  ]);
  expect(count(({ state }) => state === "blocked")).toBe(rows.length - 1 - free.length);
  // A spreadsheet that was made of it says the same.
  const tsv = await trainlock(["plan", file, "--root", root, "--tsv"]);
  const [header = [], ...lines] = tsv.stdout
    .trimEnd()
    .split("\n")
    .map((line) => line.split("\t"));
  const kept = ["strategy", "dataset", "model", "ratio", "stage"].map((name) => [name, header.indexOf(name)] as const);
  const csv = [kept.map(([name]) => name), ...lines.map((cells) => kept.map(([, index]) => cells[index] ?? ""))];
  writeFileSync(join(root, "grid.csv"), `\ufeff${csv.map((cells) => cells.join(";")).join("\r\n")}\r\n`);
  const names = async (grid: string) =>
    (await trainlock(["plan", join(root, grid), "--root", root, "--format", "{name} {stage}"])).stdout;
  expect(await names("grid.csv")).toBe(await names("grid.yaml"));
});

test("the call that takes the place of a Hydra multirun trains each of its runs with its overrides", async () => {
  const root = await temporaryRoot();
  const bin = join(root, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "python"), `#!/bin/sh\necho "$*" >>"${root}/ran"\n`);
  await chmod(join(bin, "python"), 0o755);
  const path = `${bin}:${dirname(executable)}:${process.env.PATH}`;
  const done = await finish("sh", ["-c", blockAfter("hydra")], {
    env: environment({ TRAINLOCK_ROOT: root, PATH: path }),
  });
  expect(done).toMatchObject({ exitCode: 0 });
  const ran = readFileSync(join(root, "ran"), "utf8").trim().split("\n").sort();
  const expected = ["baseline", "std_mixup"].flatMap((strategy) =>
    ["pspnet_r50", "segformer_mit-b5"].map(
      (model) =>
        `train.py strategy=${strategy} dataset=IDD-AW model=${model} hydra.run.dir=${root}/WEIGHTS/${strategy}/idd-aw_cd/${model}`,
    ),
  );
  expect(ran).toEqual(expected);
});
