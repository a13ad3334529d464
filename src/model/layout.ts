import { basename, dirname, join, relative, sep } from "node:path";
import type { Configuration } from "./configuration.ts";

/** Every path and name that follows from a configuration. Other programs compute the same ones, byte for byte. */
export interface Layout {
  readonly root: string;
  readonly lockDir: string;
  weightsDir(configuration: Configuration): string;
  kernelLockPath(configuration: Configuration): string;
  /** `strategy/dataset/model`, as lists and messages show it. */
  displayName(configuration: Configuration): string;
  /** The display name of a weights dir that was found, whatever wrote it. */
  displayNameOfWeightsDir(weightsDir: string): string;
  /** The kernel lock that a stage-less configuration with this weights dir has. */
  kernelLockPathOfWeightsDir(weightsDir: string): string;
  /** Where weights dirs lie, and how many folders below. */
  readonly weightsTrees: readonly { readonly top: string; readonly depth: number }[];
}

export const markerName = ".training_lock";
export const markerRecordName = ".training_lock.json";
const lockSuffix = ".lock";
const datasetFolderSuffix = "_cd";

function ratioSuffix(ratio: number | null): string {
  return ratio === null ? "" : `_ratio${pythonFixed2(ratio).replace(".", "p")}`;
}

/**
 * Two decimals as Python's `f"{ratio:.2f}"` writes them: correctly rounded from the exact binary value, ties to even.
 * `toFixed` rounds exact ties up (0.125 → 0.13 where Python says 0.12), and the two would lock different files.
 */
function pythonFixed2(ratio: number): string {
  const eighths = ratio * 8;
  if (Number.isInteger(eighths) && eighths % 2 !== 0) {
    const down = Math.floor(ratio * 100);
    return ((down % 2 === 0 ? down : down + 1) / 100).toFixed(2);
  }
  return ratio.toFixed(2);
}

function stagePrefix(stage: number | string | null): string {
  if (stage === null) return "";
  return typeof stage === "number" ? `s${stage}_` : `${stage}_`;
}

function modelFolder(configuration: Configuration): string {
  const aux = configuration.auxLoss === null ? "" : `_aux-${configuration.auxLoss}`;
  return `${configuration.model}${ratioSuffix(configuration.ratio)}${aux}`;
}

/** The dataset as the old writers put it into lock names and records. */
export function normalizeDataset(dataset: string): string {
  return dataset.toLowerCase().replaceAll("-", "_");
}

/** The layout every site has until it declares its own: `WEIGHTS/{strategy}/{dataset}_cd/{model}` under the root. */
export function defaultLayout(root: string, lockDir: string = join(root, "training_locks")): Layout {
  const weightsTop = join(root, "WEIGHTS");
  const datasetOf = (folder: string) =>
    folder.endsWith(datasetFolderSuffix) ? folder.slice(0, -datasetFolderSuffix.length) : folder;
  const partsOf = (weightsDir: string) => {
    const model = basename(weightsDir);
    const dataset = datasetOf(basename(dirname(weightsDir)));
    const strategy = basename(dirname(dirname(weightsDir)));
    return { strategy, dataset, model };
  };
  return {
    root,
    lockDir,
    weightsTrees: [{ top: weightsTop, depth: 3 }],
    weightsDir: (c) => join(weightsTop, c.strategy, `${c.dataset.toLowerCase()}${datasetFolderSuffix}`, modelFolder(c)),
    kernelLockPath: (c) =>
      join(
        lockDir,
        `${stagePrefix(c.stage)}${c.strategy}_${normalizeDataset(c.dataset)}_${modelFolder(c)}${lockSuffix}`,
      ),
    displayName: (c) => `${c.strategy}/${c.dataset.toLowerCase()}/${modelFolder(c)}`,
    displayNameOfWeightsDir: (weightsDir) => {
      if (relative(weightsTop, weightsDir).split(sep).length !== 3) return relative(root, weightsDir);
      const { strategy, dataset, model } = partsOf(weightsDir);
      return `${strategy}/${dataset}/${model}`;
    },
    kernelLockPathOfWeightsDir: (weightsDir) => {
      const { strategy, dataset, model } = partsOf(weightsDir);
      return join(lockDir, `${strategy}_${normalizeDataset(dataset)}_${model}${lockSuffix}`);
    },
  };
}

export function isKernelLockName(name: string): boolean {
  return name.endsWith(lockSuffix);
}

export function kernelLockStem(path: string): string {
  return basename(path, lockSuffix);
}

export function markerPath(weightsDir: string): string {
  return join(weightsDir, markerName);
}

export function markerRecordPath(weightsDir: string): string {
  return join(weightsDir, markerRecordName);
}
