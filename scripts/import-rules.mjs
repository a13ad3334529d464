// Who may import whom in src. `npm run import-rules` writes it into biome.json, a rule for each folder that exists.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const project = fileURLToPath(new URL("..", import.meta.url));

/** Each folder of src that may exist, and what it may import besides itself. */
export const mayImport = {
  model: [],
  system: ["model"],
  site: ["model", "system"],
  etcd: ["model", "system"],
  evidence: ["model", "system", "site"],
  stores: ["model", "system", "site", "etcd"],
  progress: ["model", "system", "site"],
  ...inTurn(
    ["model", "system", "site", "etcd", "evidence", "stores", "progress"],
    ["history", "run", "listing", "grid", "work", "submit", "board", "doctor", "library", "python", "cli"],
  ),
};

/** Files outside of src that a folder below one of these embeds into the executable. */
const embeds = {
  cli: [
    "!../../../python/training_lock.py",
    "!../../../docs/*.md",
    "!../../../LICENSE",
    "!../../../node_modules/*/LICENSE*",
    "!../../../node_modules/bun-types/docs/project/license.mdx",
  ],
};

/** What src/index.ts may re-export from. */
const shown = ["library", "listing", "model"];

/** Each may import those before it. */
function inTurn(before, folders) {
  return Object.fromEntries(folders.map((folder, index) => [folder, [...before, ...folders.slice(0, index)]]));
}

export function foldersIn(path) {
  return readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/** biome.json's overrides for the folders that stand in `src`. */
export function importRules(src) {
  const there = foldersIn(src);
  const unknown = there.filter((folder) => !(folder in mayImport));
  if (unknown.length > 0) throw new Error(`scripts/import-rules.mjs does not say what src/${unknown[0]} may import`);
  const rules = Object.keys(mayImport)
    .filter((folder) => there.includes(folder))
    .flatMap((folder) => {
      const others = mayImport[folder].filter((other) => there.includes(other));
      const message = `src/${folder} imports ${["itself", ...others].join(", ")}, by the shortest path`;
      const below = foldersIn(join(src, folder));
      const top = ["../**", ...others.map((other) => `!../${other}/**`), "../**/../**"];
      const rule = [restrict(`src/${folder}/*.ts`, top, message)];
      if (below.length === 0) return rule;
      const up = [...below.map((other) => `!../${other}/**`), ...others.map((other) => `!../../${other}/**`)];
      const inner = ["../**", "!../*.ts", ...up, "../*/**/../**", ...(embeds[folder] ?? [])];
      return [...rule, restrict(`src/${folder}/*/*.ts`, inner, message)];
    });
  const face = ["../**", "./**", ...shown.map((folder) => `!./${folder}/**`)];
  return [...rules, restrict("src/index.ts", face, `src/index.ts re-exports from ${shown.join(", ")}`)];
}

// The last pattern that matches decides. A path that goes down and up again is none of those allowed before.
function restrict(includes, group, message) {
  const roundabout = ["./**/../**", "./**/./**", "../**/./**"];
  const patterns = [{ group: [...group, ...roundabout, "trainlock"], message }];
  const noRestrictedImports = { level: "error", options: { patterns } };
  return { includes: [includes], linter: { rules: { style: { noRestrictedImports } } } };
}

export function isImportRule(override) {
  return override.linter?.rules?.style?.noRestrictedImports !== undefined;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const path = join(project, "biome.json");
  const configuration = JSON.parse(readFileSync(path, "utf8"));
  const others = configuration.overrides.filter((override) => !isImportRule(override));
  configuration.overrides = [...others, ...importRules(join(project, "src"))];
  writeFileSync(path, `${JSON.stringify(configuration, null, 2)}\n`);
}
