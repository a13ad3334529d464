import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { pythonEnvironment, pythonFolder } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithRun } from "../support/trainlock.ts";

const test = requiresPrograms("python3");
const page = readFileSync(fileURLToPath(new URL("../../docs/python.md", import.meta.url)), "utf8");
const recipes = new Map(
  [...page.matchAll(/<!-- recipe: (\S+) -->\n```python\n([\s\S]*?)```/g)].map(([, name = "", script = ""]) => [
    name,
    script,
  ]),
);

/** What recipes import: a project that leaves a checkpoint, and frameworks with the calls that a recipe uses. */
const modules: Readonly<Record<string, string>> = {
  "my_project.py": `
import os, sys
model = object()
def train(weights_dir, before_checkpoint=None):
    if before_checkpoint is not None:
        before_checkpoint()
        with open(os.path.join(str(weights_dir), 'iter_1.pth'), 'a') as file:
            file.write('trained ')
class Runner:
    def __init__(self, work_dir):
        self.work_dir, self.hooks = work_dir, []
    def register_hook(self, hook):
        self.hooks.append(hook)
    def train(self):
        for hook in self.hooks:
            hook.before_save_checkpoint(self, {})
        train(self.work_dir, lambda: None)
def build_runner(work_dir):
    return Runner(work_dir)
if __name__ == '__main__':
    train(sys.argv[1], lambda: None)
`,
  "pytorch_lightning.py": `
from my_project import train
class Callback: pass
class Trainer:
    should_stop = False
    def __init__(self, default_root_dir, callbacks):
        self.folder, self.callbacks = default_root_dir, callbacks
    def fit(self, module):
        for each in self.callbacks:
            each.on_train_batch_start(self, module, None, 0)
            each.on_save_checkpoint(self, module, {})
        if not self.should_stop:
            train(self.folder, lambda: None)
`,
  "mmengine/__init__.py": "",
  "mmengine/hooks.py": "class Hook: pass\n",
  "hydra.py": `
import sys, types
def main(config_path, config_name):
    names = ('strategy', 'dataset', 'model')
    return lambda function: lambda: function(types.SimpleNamespace(**dict(zip(names, sys.argv[1:]))))
`,
  "submitit.py": `
import os, types
class AutoExecutor:
    def __init__(self, folder): pass
    def submit(self, function, *arguments):
        # A process of its own, as a job is.
        child = os.fork()
        if child == 0:
            function(*arguments)
            os._exit(0)
        return types.SimpleNamespace(result=lambda: os.waitpid(child, 0)[1])
`,
};

async function desk(name: string) {
  const of = configuration(await temporaryRoot());
  const folder = join(of.root, "project");
  mkdirSync(join(folder, "mmengine"), { recursive: true });
  for (const [file, text] of Object.entries(modules)) writeFileSync(join(folder, file), text);
  const script = join(folder, "recipe.py");
  writeFileSync(script, recipes.get(name) ?? "raise SystemExit(99)");
  const env = pythonEnvironment(of.root, { PYTHONPATH: `${pythonFolder}:${folder}` });
  return { of, argv: ["python3", script, of.strategy, of.dataset, of.model] as const, env };
}

const trained = (of: TestConfiguration) => readFileSync(join(of.weightsDir, "iter_1.pth"), "utf8");

for (const name of recipes.keys()) {
  test(`the recipe ${name} trains under the lock, and not while another has it`, async () => {
    const { of, argv, env } = await desk(name);
    const [program, ...args] = argv;
    const first = await finish(program, args, { env });
    expect(first, first.stderr).toMatchObject({ exitCode: 0, stderr: "" });
    expect(trained(of)).toBe("trained ");
    const record = JSON.parse(readFileSync(of.kernelLock, "utf8"));
    expect(record.trainlock).toMatchObject({ generation: 1, exit_code: 0, ends: { last_end: "done" } });
    const holder = await holdWithRun(of.args);
    await finish(program, args, { env });
    expect(trained(of)).toBe("trained ");
    holder.closeInput();
    await holder.finished;
    expect(readdirSync(of.weightsDir).filter((file) => file.startsWith(".training_lock"))).toEqual([
      ".training_lock.json",
    ]);
  });
}

test("the recipe of ranks under run: both join its lock, and rank 0 saves", async () => {
  const { of, argv, env } = await desk("ranks");
  const ranks = 'for RANK in 0 1; do export RANK; "$@" & done; wait';
  const variables = "export WORLD_SIZE=2 LOCAL_WORLD_SIZE=2 MASTER_ADDR=localhost MASTER_PORT=29500; ";
  const run = ["run", ...of.args, "--", "sh", "-c", `${variables}${ranks}`, "sh", ...argv];
  expect(await finish(executable, run, { env })).toMatchObject({ exitCode: 0 });
  expect(trained(of)).toBe("trained ");
});
