import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** A configuration and every name that other programs compute from it, written down anew: the tests' own reading. */
export interface TestConfiguration {
  readonly root: string;
  readonly strategy: string;
  readonly dataset: string;
  readonly model: string;
  /** As lists show it. */
  readonly name: string;
  /** The flags that name it, root included. */
  readonly args: readonly string[];
  readonly weightsDir: string;
  readonly marker: string;
  readonly markerRecord: string;
  readonly lockDir: string;
  readonly kernelLock: string;
}

export function configuration(
  root: string,
  strategy = "baseline",
  dataset = "IDD-AW",
  model = "deeplabv3plus_r50",
): TestConfiguration {
  const weightsDir = join(root, "WEIGHTS", strategy, `${dataset.toLowerCase()}_cd`, model);
  const lockDir = join(root, "training_locks");
  return {
    root,
    strategy,
    dataset,
    model,
    name: `${strategy}/${dataset.toLowerCase()}/${model}`,
    args: ["--root", root, "--strategy", strategy, "--dataset", dataset, "--model", model],
    weightsDir,
    marker: join(weightsDir, ".training_lock"),
    markerRecord: join(weightsDir, ".training_lock.json"),
    lockDir,
    kernelLock: join(lockDir, `${strategy}_${dataset.toLowerCase().replaceAll("-", "_")}_${model}.lock`),
  };
}

/** Puts a marker there as if some writer had. */
export async function writeMarker(of: TestConfiguration, content: string | Uint8Array): Promise<void> {
  await mkdir(of.weightsDir, { recursive: true });
  await writeFile(of.marker, content);
}
