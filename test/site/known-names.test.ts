import { writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

let of: TestConfiguration;

beforeEach(async () => {
  of = configuration(await temporaryRoot());
});

const declare = (yaml: string) => writeFileSync(`${of.root}/trainlock.yaml`, yaml);
const named = (command: string, strategy: string, model: string, ...rest: string[]) =>
  trainlock([command, "--root", of.root, "--strategy", strategy, "--dataset", "IDD-AW", "--model", model, ...rest]);

describe("strategies and models that a site declares", () => {
  const yaml = "strategies: [baseline, gen_IP2P, gen_IP2P+std_mixup]\nmodels: [deeplabv3plus_r50, segformer_mit-b5]\n";

  test.each([
    [
      "baselin",
      "deeplabv3plus_r50",
      '--strategy "baselin" is not among the strategies of this site',
      "did you mean baseline?",
    ],
    ["Baseline", "deeplabv3plus_r50", '--strategy "Baseline"', "did you mean baseline?"],
    [
      "gen_IP2P",
      "segformer_mitb5",
      '--model "segformer_mitb5" is not among the models',
      "did you mean segformer_mit-b5?",
    ],
    ["baseline", "constructor", '--model "constructor"', "it declares deeplabv3plus_r50, segformer_mit-b5"],
  ])("%s %s: exit 2 with the nearest", async (strategy, model, message, hint) => {
    declare(yaml);
    for (const [command, ...rest] of [["check"], ["run", "--", "true"], ["clear"], ["held", "--generation", "1"]]) {
      const { exitCode, stderr } = await named(command ?? "", strategy, model, ...rest);
      expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(message) });
      expect(stderr).toContain(hint);
    }
  });

  test("those that are there are trained, and shown by config", async () => {
    declare(yaml);
    expect(await named("run", "gen_IP2P+std_mixup", "segformer_mit-b5", "--", "true")).toMatchObject({ exitCode: 0 });
    const { stdout } = await trainlock(["config", "--root", of.root]);
    expect(stdout).toContain("segformer_mit-b5");
    expect(stdout).toContain("gen_IP2P+std_mixup");
  });

  test.each([
    ["strategies: []\n", "strategies: expected different names"],
    ["models: [a, a]\n", "models: expected different names"],
    ["models: [a/b]\n", "models[0]: expected the name of a model"],
    ["strategys: [a]\n", "did you mean strategies?"],
  ])("%j is a mistake with its place", async (text, message) => {
    declare(text);
    expect(await named("check", "a", "a")).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(message) });
  });
});

describe("dimensions called as what every object has", () => {
  const names = ["constructor", "valueof", "hasownproperty", "prototype"];

  test("are dimensions like others: given or not, in names, in records, and for others", async () => {
    declare(`dimensions:\n${names.map((name) => `  ${name}: { type: integer, optional: true }\n`).join("")}`);
    const { stdout } = await trainlock(["config", ...of.args, "--set", "constructor=3", "--json"]);
    expect(stdout).toContain("deeplabv3plus_r50_constructor3.lock");
    expect(stdout).not.toContain("native code");
    expect((await trainlock(["config", ...of.args, "--json"])).stdout).toContain("deeplabv3plus_r50.lock");
    await holdWithRun([...of.args, "--set", "constructor=3", "--set", "prototype=1"]);
    const with3 = ["check", ...of.args, "--set", "prototype=1", "--set"];
    expect((await trainlock([...with3, "constructor=3"])).exitCode).toBe(1);
    expect((await trainlock([...with3, "constructor=4"])).exitCode).toBe(0);
    expect((await trainlock(["check", ...of.args])).exitCode).toBe(0);
  });

  test.each(["constructor", "__proto__", "toString"])("--set %s=3 of none that is declared: exit 2", async (name) => {
    for (const yaml of ["", "dimensions:\n  seed: { type: integer, optional: true }\n"]) {
      declare(yaml);
      const refused = await trainlock(["check", ...of.args, "--set", `${name}=3`]);
      expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(`no dimension "${name}"`) });
    }
  });

  test.each(["__proto__", "toString"])("%s cannot be declared", async (name) => {
    declare(`dimensions:\n  ${name}: { type: integer }\n`);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 2 });
  });
});
