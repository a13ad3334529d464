import { readdirSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, trainlock } from "../support/trainlock.ts";
import { guardedRecipes, overtaken, pathWithTrainlock } from "./guarded-recipes.ts";

const recipes = guardedRecipes("job-scripts.md");

/** Each as a program that saves `iter_1.pth` with the text that is its argument. */
const programs = {
  bash: [
    "bash",
    (recipe: string, root: string) => `cd ${root}; printf %s "$1" >iter_1.pth; set -- iter_1.pth\n${recipe}`,
  ],
  python: [
    "python3",
    (recipe: string) =>
      `${recipe}\ndef write(path):\n    with open(path, "w") as file:\n        file.write(sys.argv[1])\n\nsave(write, "iter_1.pth")\n`,
  ],
} as const;

test("the page has the recipes that are tried here", () => {
  expect([...recipes.keys()]).toEqual(Object.keys(programs));
});

const checkpoints = (of: TestConfiguration) =>
  readdirSync(of.weightsDir)
    .filter((name) => name.startsWith("iter_"))
    .map((name) => [name, readFileSync(join(of.weightsDir, name), "utf8")]);

for (const [name, [interpreter, makeScript]] of Object.entries(programs)) {
  requiresPrograms(interpreter)(
    `${name}: saves while the lock is held, and leaves nothing once another has it`,
    async () => {
      const of = configuration(await temporaryRoot());
      const script = join(of.root, "save");
      await writeFile(script, makeScript(recipes.get(name) ?? "exit 99", of.root));
      const env = { PATH: pathWithTrainlock };
      const saved = await trainlock(["run", ...of.args, "--", interpreter, script, "first"], { env });
      expect(saved).toMatchObject({ exitCode: 0, stderr: "" });
      expect(checkpoints(of)).toEqual([["iter_1.pth", "first"]]);
      const late = await overtaken(of);
      const refused = await finish(interpreter, [script, "late"], { env: environment({ ...late, ...env }) });
      expect(refused).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("is not held") });
      expect(checkpoints(of)).toEqual([["iter_1.pth", "first"]]);
    },
  );
}
