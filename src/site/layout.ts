import { basename, dirname, join, relative, sep } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import { type Dimension, dimensionSuffix } from "../model/dimensions.ts";
import { normalizeDataset, ratioText, stageText } from "../model/name-parts.ts";
import { emptySiteConfig, type SiteConfig } from "./site-config.ts";
import type { StoreSettings } from "./store-settings.ts";

/** Every path and name that follows from a configuration. Other programs compute the same ones, byte for byte. */
export interface Layout {
  readonly root: string;
  /** Folders that links below the root may lead into. */
  readonly links: readonly string[];
  readonly lockDir: string;
  weightsDir(configuration: Configuration): string;
  kernelLockPath(configuration: Configuration): string;
  /** `strategy/dataset/model`, as lists and messages show it. */
  displayName(configuration: Configuration): string;
  /** The display name of a weights dir that was found, whatever wrote it. */
  displayNameOfWeightsDir(weightsDir: string): string;
  /** The kernel lock that a stage-less configuration with this weights dir has. */
  kernelLockPathOfWeightsDir(weightsDir: string): string;
  /** The configuration that trains in a weights dir that was found; null where names alone cannot tell. */
  configurationOfWeightsDir(weightsDir: string): Configuration | null;
  readonly weightsTrees: readonly WeightsTree[];
  /** What the site declares; all defaults where it has no file. */
  readonly site: SiteConfig;
  /** Where locks are kept, from call, environment and site together; null: on the file system. */
  readonly store: StoreSettings | null;
}

/** Where weights dirs lie: below `top`, one folder a level. */
export interface WeightsTree {
  readonly top: string;
  /** A level of one known name is not listed but entered; null: any name. */
  readonly levels: readonly (string | ((name: string) => boolean) | null)[];
}

export const markerName = ".training_lock";
/** Where logs of workers go, within the weights dir. */
export const runLogsFolder = "trainlock-logs";
export const markerRecordName = ".training_lock.json";
const lockSuffix = ".lock";
const datasetFolderSuffix = "_cd";
export const defaultLockDir = "training_locks";

/** Names that trainlock gives its own files and folders in a weights dir. */
export function isOwnName(name: string): boolean {
  return name.startsWith(markerName) || name === runLogsFolder;
}

export function modelFolder(configuration: Configuration, dimensions: readonly Dimension[] = []): string {
  const { model, ratio, auxLoss } = configuration;
  const aux = auxLoss === null ? "" : `_aux-${auxLoss}`;
  const share = ratio === null ? "" : `_ratio${ratioText(ratio)}`;
  return `${model}${share}${aux}${dimensionSuffix(dimensions, configuration.dimensions)}`;
}

/** The same name on every site: other programs compute it. Only dimensions, which they do not know, are added. */
export function kernelLockName(configuration: Configuration, dimensions: readonly Dimension[]): string {
  const { stage, strategy, dataset } = configuration;
  const prefix = stage === null ? "" : stageText(stage);
  return `${prefix}${strategy}_${normalizeDataset(dataset)}_${modelFolder(configuration, dimensions)}${lockSuffix}`;
}

/** The layout every site has until it declares its own: `WEIGHTS/{strategy}/{dataset}_cd/{model}` under the root. */
export function defaultLayout(
  root: string,
  lockDir: string = join(root, defaultLockDir),
  site: SiteConfig = emptySiteConfig,
  store: StoreSettings | null = null,
): Layout {
  const weightsTop = join(root, "WEIGHTS");
  const lockFolder = join(lockDir, "x").slice(0, -"/x".length);
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
    links: site.links,
    lockDir,
    site,
    store,
    weightsTrees: [{ top: weightsTop, levels: [null, null, null] }],
    // A model's name and what is appended to it run together here, and a stage leaves no trace.
    configurationOfWeightsDir: () => null,
    weightsDir: (c) => join(weightsTop, c.strategy, `${c.dataset.toLowerCase()}${datasetFolderSuffix}`, modelFolder(c)),
    // Asked several times for each row of a grid, where `join` would take a tenth of its time.
    kernelLockPath: (c) => `${lockFolder}/${kernelLockName(c, [])}`,
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
