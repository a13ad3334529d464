import { readdirSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, trainlock } from "../support/trainlock.ts";
import { guardedRecipes, overtaken, pathWithTrainlock } from "./guarded-recipes.ts";

const recipes = guardedRecipes("fencing.md");
const bun = resolve("node_modules/.bin/bun");
const library = resolve("dist/lib/index.js");
const env = { PATH: pathWithTrainlock };

test("the page has the recipes that are tried here", () => {
  expect([...recipes.keys()]).toEqual(["bash", "bash-newest", "python", "typescript"]);
});

const checkpoints = (of: TestConfiguration) => readdirSync(of.weightsDir).filter((name) => name.startsWith("step_"));

async function script(of: TestConfiguration, name: string, more = ""): Promise<string> {
  const path = join(of.root, name);
  await writeFile(path, `${recipes.get(name) ?? "exit 99"}\n${more}`);
  return path;
}

const python = `
def write(path):
    with open(path, "w") as file:
        file.write("weights")

save(write, sys.argv[2])
`;

/** Programs that are called with a file and a step, and save the one as the other's checkpoint. */
const savers = { bash: ["bash", ""], python: ["python3", python] } as const;

for (const [name, [interpreter, more]] of Object.entries(savers)) {
  requiresPrograms(interpreter)(
    `${name}: each generation saves under its own number, one that was overtaken saves nothing`,
    async () => {
      const of = configuration(await temporaryRoot());
      const save = [interpreter, await script(of, name, more), join(of.root, name)];
      for (const step of ["10", "9"])
        expect(await trainlock(["run", ...of.args, "--", ...save, step], { env })).toMatchObject({
          exitCode: 0,
          stderr: "",
        });
      expect(checkpoints(of)).toEqual(["step_10.g1.pth", "step_9.g2.pth"]);
      const late = environment({ ...(await overtaken(of)), ...env });
      const refused = await finish(interpreter, [...save.slice(1), "11"], { env: late });
      expect(refused).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining("is not held: generation 4 came after"),
      });
      expect(checkpoints(of)).toEqual(["step_10.g1.pth", "step_9.g2.pth"]);
    },
  );
}

requiresPrograms("python3")("python: one that sees a higher number saves nothing, whatever its lock says", async () => {
  const of = configuration(await temporaryRoot());
  const save = ["python3", await script(of, "python", python), "", "5"];
  await mkdir(of.weightsDir, { recursive: true });
  await writeFile(join(of.weightsDir, "step_1.g2.pth"), "");
  expect(await trainlock(["run", ...of.args, "--", ...save], { env })).toMatchObject({
    exitCode: 1,
    stderr: "another trains by now\n",
  });
  expect(checkpoints(of)).toEqual(["step_1.g2.pth"]);
});

const order = `${recipes.get("python")}\nprint("".join(os.path.basename(path) for *_, path in checkpoints()[-1:]))`;

for (const [name, argv] of Object.entries({
  bash: ["bash", "-c", recipes.get("bash-newest") ?? "exit 99"],
  python: ["python3", "-c", order],
})) {
  requiresPrograms(argv[0] === "bash" ? "bash" : "python3")(
    `${name}: goes on from the highest generation, then the highest step`,
    async () => {
      const of = configuration(await temporaryRoot());
      const newest = async () => (await trainlock(["run", ...of.args, "--", ...argv], { env })).stdout.trim();
      expect(await newest()).toBe("");
      const late = [
        "step_900.g9.pth",
        "step_1000.g2.pth",
        "step_70.g10.pth",
        "step_100.g10.pth",
        "step_200.g11.pth.unfinished",
      ];
      for (const file of late) await writeFile(join(of.weightsDir, file), "");
      expect(await newest()).toBe("step_100.g10.pth");
    },
  );
}

test("typescript: saves while the lock is held, and leaves nothing once another has it", async () => {
  const of = configuration(await temporaryRoot());
  await writeFile(join(of.root, "save.ts"), recipes.get("typescript") ?? "");
  const program = `
    import { renameSync, writeFileSync } from "node:fs";
    import { LockLostError, TrainingLock } from ${JSON.stringify(library)};
    import { save } from "./save.ts";
    const options = { strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50", root: ${JSON.stringify(of.root)} };
    const write = async (path) => writeFileSync(path, "weights");
    const lock = new TrainingLock(options);
    await lock.acquire();
    await save(lock, ${JSON.stringify(of.weightsDir)}, 1, write);
    writeFileSync(${JSON.stringify(`${of.marker}.others`)}, "1\\n");
    renameSync(${JSON.stringify(`${of.marker}.others`)}, ${JSON.stringify(of.marker)});
    const refused = await save(lock, ${JSON.stringify(of.weightsDir)}, 2, write).catch((error) => error);
    console.log(refused instanceof LockLostError);
    process.exit(0);`;
  await writeFile(join(of.root, "train.ts"), program);
  const run = await finish(bun, [join(of.root, "train.ts")], { env: environment() });
  expect(run).toMatchObject({ exitCode: 0, stdout: "true\n", stderr: "" });
  expect(checkpoints(of)).toEqual(["step_1.g1.pth"]);
  await rm(of.marker);
});
