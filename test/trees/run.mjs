// npm run test:trees -- [--on files|markers|etcd] [--at-once N] [ROUNDS] [SEED]: random trees, so many rounds in each place or
// in one, three at a time or N, and what came of them. The same seed plays the same rounds. Exit code 1 if two trained at once in
// any shape but the one that docs/guarantees.md names.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

/** The places as the tests name them. */
const places = { files: "on files", markers: "without kernel locks", etcd: "on etcd" };

const { values, positionals } = parseArgs({
  options: { on: { type: "string" }, "at-once": { type: "string", default: "3" } },
  allowPositionals: true,
});
const [rounds = 2000, seed = 1] = positionals.map(Number);
const atOnce = Number(values["at-once"]);
const isPlace = values.on === undefined || values.on in places;
if (!(isPlace && [rounds, atOnce].every((each) => Number.isInteger(each) && each > 0) && Number.isInteger(seed))) {
  console.error(`usage: npm run test:trees -- [--on ${Object.keys(places).join("|")}] [--at-once N] [ROUNDS] [SEED]`);
  process.exit(2);
}
const only = values.on === undefined ? [] : ["-t", `${places[values.on]}.*no two train|^an overlap|^without trainlock`];
const { status } = spawnSync("npx", ["vitest", "run", "test/trees/random-trees.test.ts", ...only], {
  cwd: fileURLToPath(new URL("../..", import.meta.url)),
  env: {
    ...process.env,
    TRAINLOCK_TREE_ROUNDS: String(rounds),
    TRAINLOCK_TREE_SEED: String(seed),
    TRAINLOCK_TREE_AT_ONCE: String(atOnce),
  },
  stdio: "inherit",
});
process.exit(status ?? 1);
