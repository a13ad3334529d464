// npm run test:trees -- [ROUNDS] [SEED]: random trees, so many rounds in each place, and what came of them. The same seed plays the
// same rounds. Exit code 1 if two trained at once in any shape but the one that docs/guarantees.md names.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const [rounds = 2000, seed = 1] = process.argv.slice(2).map(Number);
if (!(Number.isInteger(rounds) && rounds > 0 && Number.isInteger(seed))) {
  console.error("usage: npm run test:trees -- [ROUNDS] [SEED]");
  process.exit(2);
}
const { status } = spawnSync("npx", ["vitest", "run", "test/trees/random-trees.test.ts"], {
  cwd: fileURLToPath(new URL("../..", import.meta.url)),
  env: { ...process.env, TRAINLOCK_TREE_ROUNDS: String(rounds), TRAINLOCK_TREE_SEED: String(seed) },
  stdio: "inherit",
});
process.exit(status ?? 1);
