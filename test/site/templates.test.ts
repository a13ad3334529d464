import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Configuration } from "../../src/model/configuration.ts";
import { declaredLayout } from "../../src/site/declared-layout.ts";
import { parseSiteFile } from "../../src/site/site-file.ts";

const layoutOf = (text: string) => declaredLayout("/data", "/data/training_locks", parseSiteFile(text, "site"));

const plain: Configuration = {
  strategy: "baseline",
  dataset: "IDD-AW",
  model: "deeplabv3plus_r50",
  ratio: null,
  auxLoss: null,
  stage: null,
  dimensions: {},
};

const stages = layoutOf(`
datasets: [IDD-AW, Cityscapes]
weights:
  - when: { stage: 2 }
    path: WEIGHTS_STAGE_2/{strategy}/{dataset|lower|no_hyphens}/{model}{ratio}{aux_loss}
  - when: { ratio: given, strategy: ["gen_*", "std_*"] }
    path: WEIGHTS_RATIO_ABLATION/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}
  - path: WEIGHTS/{strategy}/{dataset|lower}_cd/{model}{ratio}{aux_loss}
`);

const dimensions = layoutOf(`
dimensions:
  seed: { type: integer }
  fold: { type: integer, optional: true, values: [0, 1] }
  lr: { type: number, optional: true }
weights: runs/{dataset|lower|underscores}/{strategy}/{model}{ratio}{aux_loss}/seed{seed|bare}{fold}{lr}
`);

describe("a configuration leads to its folder, and the folder back", () => {
  type Case = readonly [layout: typeof stages, change: Partial<Configuration>, path: string];
  const cases: readonly Case[] = [
    [stages, {}, "WEIGHTS/baseline/idd-aw_cd/deeplabv3plus_r50"],
    [stages, { stage: 2 }, "WEIGHTS_STAGE_2/baseline/iddaw/deeplabv3plus_r50"],
    [stages, { stage: 2, ratio: 1 }, "WEIGHTS_STAGE_2/baseline/iddaw/deeplabv3plus_r50_ratio1p00"],
    [stages, { ratio: 0.5 }, "WEIGHTS/baseline/idd-aw_cd/deeplabv3plus_r50_ratio0p50"],
    [
      stages,
      { strategy: "gen_Img2Img+std_mixup", ratio: 0.5, auxLoss: "focal" },
      "WEIGHTS_RATIO_ABLATION/gen_Img2Img+std_mixup/idd-aw/deeplabv3plus_r50_ratio0p50_aux-focal",
    ],
    [dimensions, { dataset: "idd_aw", dimensions: { seed: 3 } }, "runs/idd_aw/baseline/deeplabv3plus_r50/seed3"],
    [
      dimensions,
      { dataset: "idd_aw", dimensions: { seed: 3, fold: 1, lr: 0.0001 } },
      "runs/idd_aw/baseline/deeplabv3plus_r50/seed3_fold1_lr0p0001",
    ],
  ];
  test.each(cases)("%#: %#", (layout, change, path) => {
    const configuration = { ...plain, ...change };
    expect(layout.weightsDir(configuration)).toBe(`/data/${path}`);
    expect(layout.configurationOfWeightsDir(`/data/${path}`)).toEqual(configuration);
    expect(layout.kernelLockPathOfWeightsDir(`/data/${path}`)).toBe(layout.kernelLockPath(configuration));
    expect(layout.displayNameOfWeightsDir(`/data/${path}`)).toBe(layout.displayName(configuration));
  });

  const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9.+_-]{0,12}$/);
  const optional = <T>(values: fc.Arbitrary<T>) => fc.option(values, { nil: null });
  test("for any names", () => {
    const configurations = fc.record({
      strategy: name,
      dataset: name,
      model: name,
      ratio: optional(fc.integer({ min: 0, max: 100 }).map((hundredths) => hundredths / 100)),
      auxLoss: optional(name),
      stage: fc.constant(null),
      dimensions: fc.record({ seed: fc.nat(), fold: fc.constantFrom(0, 1) }, { requiredKeys: ["seed"] }),
    });
    fc.assert(
      fc.property(configurations, (configuration) => {
        const folder = dimensions.weightsDir(configuration);
        const back = dimensions.configurationOfWeightsDir(folder);
        // Names may contain what is appended to others: then another configuration has this very folder, and no other.
        expect(back).not.toBeNull();
        if (back !== null) expect(dimensions.weightsDir(back)).toBe(folder);
        expect(back?.dimensions).toEqual(configuration.dimensions);
        expect(back?.strategy).toBe(configuration.strategy);
      }),
      { numRuns: 500 },
    );
  });
});

test("what leads nowhere belongs to nobody", () => {
  for (const path of [
    "WEIGHTS/a/iddaw_cd/m",
    "WEIGHTS/a/idd-aw_cd/m/x",
    "WEIGHTS/a",
    "OTHER/a/idd-aw_cd/m",
    "../x/y/z",
  ])
    expect(stages.configurationOfWeightsDir(`/data/${path}`)).toBeNull();
});

test("without templates, dimensions are appended to the names that other programs know", () => {
  const layout = layoutOf(
    "dimensions:\n  seed: { type: integer, prefix: _s }\n  fold: { type: text, optional: true }\n",
  );
  const configuration = { ...plain, ratio: 0.5, stage: 1, dimensions: { seed: 3, fold: "a" } };
  expect(layout.weightsDir(configuration)).toBe(
    "/data/WEIGHTS/baseline/idd-aw_cd/deeplabv3plus_r50_ratio0p50_s3_folda",
  );
  expect(layout.kernelLockPath(configuration)).toBe(
    "/data/training_locks/s1_baseline_idd_aw_deeplabv3plus_r50_ratio0p50_s3_folda.lock",
  );
});
