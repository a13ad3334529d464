import { lstatSync, renameSync } from "node:fs";
import type { Configuration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import type { Examine } from "../model/examine.ts";
import { type Layout, markerRecordPath } from "../site/layout.ts";
import { requireWithin } from "../system/files/within.ts";
import { asSystemError } from "../system/libc/errno.ts";
import { randomHex } from "../system/random.ts";
import { lookAtFiles } from "./check-configuration.ts";

interface MovedAside {
  readonly path: string;
  /** Its new name. In a dry run: the name that it would get, but for its last digits. */
  readonly to: string;
}

/**
 * Moves aside what stands where a file of this configuration belongs, and keeps it from being trained: a lock file with a second
 * name, anything else than a file for the lock file, a folder for the record. Nothing is removed. Throws an EnvironmentError while
 * anybody has the configuration.
 */
export async function repairFiles(
  layout: Layout,
  configuration: Configuration,
  examine: Examine,
  dryRun: boolean,
): Promise<MovedAside[]> {
  const weightsDir = layout.weightsDir(configuration);
  requireWithin(layout, weightsDir);
  const lockPath = layout.kernelLockPath(configuration);
  const lockFile = lstatSync(lockPath, { throwIfNoEntry: false });
  const inTheWay: string[] = [];
  if (lockFile !== undefined && (!lockFile.isFile() || lockFile.nlink > 1)) inTheWay.push(lockPath);
  const record = markerRecordPath(weightsDir);
  if (lstatSync(record, { throwIfNoEntry: false })?.isDirectory()) inTheWay.push(record);
  // What is no file has no kernel lock that could be asked.
  const holder = lockFile?.isFile() === false ? null : await lookAtFiles(layout, configuration, examine);
  if (holder !== null)
    throw new EnvironmentError(`nothing is moved: ${holder.path} is ${holder.verdict.label}`, {
      code: "ERR_REPAIR_IN_USE",
      hint: "wait until its training is over; trainlock list says who has it",
    });
  return inTheWay.map((path) => {
    const to = `${path}.aside-${randomHex(4)}`;
    try {
      if (!dryRun) renameSync(path, to);
    } catch (error) {
      throw asSystemError("move aside", path, error);
    }
    return { path, to };
  });
}
