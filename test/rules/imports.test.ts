import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { foldersIn, importRules, isImportRule, mayImport } from "../../scripts/import-rules.mjs";
import { temporaryRoot } from "../support/temporary-root.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const src = join(project, "src");
const rooms = foldersIn(src);
const below = (room: string) => foldersIn(join(src, room)).map((folder) => `${room}/${folder}`);
const folders = rooms.flatMap((room) => [room, ...below(room)]);
const roomOf = (folder: string) => folder.split("/")[0] ?? "";

/** All ways to name a module of another folder that lint looks at. */
const forms: Readonly<Record<string, (path: string) => string>> = {
  static: (path) => `import "${path}";\n`,
  type: (path) => `import type { A } from "${path}";\nexport type B = A;\n`,
  dynamic: (path) => `export const a = () => import("${path}");\n`,
  exported: (path) => `export * from "${path}";\n`,
};

/** Ways to the same file that go down and up again; the last two need a folder to go through. */
function roundabout(path: string, from: string): string[] {
  const up = path.replace(/^(\.\.\/)+/, "").length;
  const steps = path.slice(0, path.length - up);
  const rest = path.slice(path.length - up);
  const own = roomOf(from);
  return [`./${path}`, `./a/../${path}`, `./a/b/../../${path}`, `${steps}model/../${rest}`, `${steps}./${rest}`].concat(
    `${steps}${own}/../${rest}`,
    from.includes("/") ? `../files/../${path}` : `${steps}../src/${rest}`,
  );
}

interface Plant {
  readonly file: string;
  readonly text: string;
  readonly allowed: boolean;
}

function plantsIn(folder: string): Plant[] {
  return folders.flatMap((target) => {
    if (target === folder) return [];
    const path = relative(join(src, folder), join(src, target, "x.ts"));
    const shortest = path.startsWith(".") ? path : `./${path}`;
    const own = roomOf(target) === roomOf(folder);
    const allowed = own || (mayImport[roomOf(folder)] ?? []).includes(roomOf(target));
    const plant = (form: string, text: string, isAllowed: boolean): Plant => ({
      file: `src/${folder}/planted-${target.replace("/", "-")}-${form}.ts`,
      text,
      allowed: isAllowed,
    });
    const straight = Object.entries(forms).map(([form, write]) => plant(form, write(shortest), allowed));
    if (own) return straight;
    const around = roundabout(shortest, folder).map((way, index) =>
      plant(`around-${index}`, forms.static?.(way) ?? "", false),
    );
    return [...straight, ...around];
  });
}

/** The files of a tree in which lint finds a forbidden import. */
function complaints(tree: string): string[] {
  const biome = join(project, "node_modules", ".bin", "biome");
  const args = ["lint", "--only=style/noRestrictedImports", "--reporter=json", "--max-diagnostics=none", "."];
  const { stdout, stderr } = spawnSync(biome, args, { cwd: tree, encoding: "utf8", maxBuffer: 2 ** 28 });
  if (!stdout.startsWith("{")) throw new Error(`no report: ${stdout}${stderr}`);
  const { diagnostics } = JSON.parse(stdout) as {
    diagnostics: { category: string; location: { path: string } }[];
  };
  const found = diagnostics.filter(({ category }) => category === "lint/style/noRestrictedImports");
  return [...new Set(found.map(({ location }) => location.path))].sort();
}

test("lint refuses every import between folders that the table does not allow, and no other", async () => {
  const tree = await temporaryRoot();
  cpSync(src, join(tree, "src"), { recursive: true });
  cpSync(join(project, "biome.json"), join(tree, "biome.json"));
  const face = { file: "src/index.ts", text: 'export * from "./stores/x.ts";\n', allowed: false };
  const plants = [...folders.flatMap(plantsIn), face];
  for (const { file, text } of plants) writeFileSync(join(tree, file), text);
  expect(plants.filter(({ allowed }) => allowed).length).toBeGreaterThan(500);
  const forbidden = plants.filter(({ allowed }) => !allowed).map(({ file }) => file);
  expect(forbidden.length).toBeGreaterThan(1000);
  expect(complaints(tree)).toEqual([...new Set(forbidden)].sort());
}, 120_000);

test("biome.json has a rule for each folder of src, and none for one that is gone (npm run import-rules)", () => {
  const { overrides } = JSON.parse(readFileSync(join(project, "biome.json"), "utf8")) as { overrides: object[] };
  expect(overrides.filter(isImportRule)).toEqual(importRules(src));
  expect(folders.filter((folder) => folder.split("/").length > 2 || hasFolders(folder))).toEqual([]);
});

test("architecture.md says of every folder what it may import", () => {
  const page = readFileSync(join(project, "docs/architecture.md"), "utf8");
  const rows = [...page.matchAll(/^\| `src\/(\w+)`\s*\| (.*?)\s*\|$/gm)].map(([, folder = "", others = ""]) => ({
    folder,
    others,
  }));
  const above = (index: number) => rows.slice(0, index).map(({ folder }) => folder);
  const said = rows.map(({ folder, others }, index) => {
    const names = others === "all folders above" ? above(index) : others === "nothing else" ? [] : others.split(", ");
    return [folder, names.sort()];
  });
  const sorted = Object.entries(mayImport).map(([folder, others]) => [folder, [...others].sort()]);
  expect(Object.fromEntries(said)).toEqual(Object.fromEntries(sorted));
  expect(rooms.filter((room) => !page.includes(`- [src/${room}](../src/${room})`))).toEqual([]);
});

test("a folder that the table does not know is refused", async () => {
  const tree = await temporaryRoot();
  mkdirSync(join(tree, "attic"));
  expect(() => importRules(tree)).toThrow("does not say what src/attic may import");
});

/** A rule reaches one folder below a room, no deeper. */
function hasFolders(folder: string): boolean {
  return folder.includes("/") && foldersIn(join(src, folder)).length > 0;
}

test("nothing is imported in a way that lint does not see", () => {
  const listed = execFileSync("find", [src, "-name", "*.ts"], { encoding: "utf8" }).trim().split("\n");
  const unseen =
    /\brequire\(\s*["'`]\.|\bimport\(\s*`|(typeof|type \w+ =|:|<)\s*import\(\s*["']\.|import \w+ = require/;
  const found = listed.filter((path) => unseen.test(readFileSync(path, "utf8")));
  expect(found.map((path) => relative(dirname(src), path))).toEqual([]);
});
