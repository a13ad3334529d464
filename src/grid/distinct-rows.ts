import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import type { Layout } from "../site/layout.ts";
import { partingTemplate } from "../site/parting-template.ts";
import { placeOf, type Row } from "./grid.ts";

/**
 * Equal rows once, in the order written. Throws a UsageError that names both rows where two are given different settings, or
 * have one lock name or one weights dir: they could not be told apart once they are trained.
 */
export function distinctRows(layout: Layout, rows: readonly Row[]): Row[] {
  const byLock = new Map<string, Row>();
  const byFolder = new Map<string, Row>();
  for (const row of rows) {
    const { weightsDir: folder } = row;
    const sharer = byFolder.get(folder);
    if (sharer !== undefined) {
      if (!sameConfiguration(sharer.configuration, row.configuration)) throw sharedFolder(layout, sharer, row, folder);
      requireSameSettings(sharer, row);
      continue;
    }
    const lock = placed(row, () => layout.kernelLockPath(row.configuration));
    const namesake = byLock.get(lock);
    if (namesake !== undefined) throw sharedLock(namesake, row, lock);
    byFolder.set(folder, row);
    byLock.set(lock, row);
  }
  return [...byFolder.values()];
}

function sameConfiguration(a: Configuration, b: Configuration): boolean {
  return JSON.stringify(inOrder(a)) === JSON.stringify(inOrder(b));
}

function inOrder({ dimensions, strategy, dataset, model, ratio, auxLoss, stage }: Configuration) {
  const own = Object.entries(dimensions).sort(([a], [b]) => (a < b ? -1 : 1));
  return [strategy, dataset, model, ratio, auxLoss, stage, own];
}

function placed<T>(row: Row, compute: () => T): T {
  try {
    return compute();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${placeOf(row)}: ${error.message}`, {
      code: "ERR_GRID",
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }
}

function requireSameSettings(first: Row, second: Row): void {
  if (first.settings === second.settings) return;
  if (JSON.stringify(first.settings) === JSON.stringify(second.settings)) return;
  throw new UsageError(
    `${placeOf(second)}: ${describeConfiguration(second.configuration)} stands at ${placeOf(first)}, too, with other settings`,
    { code: "ERR_GRID", hint: "give it one `done`, `needs`, `submit` and `max_attempts`, or exclude it in one block" },
  );
}

function sharedFolder(layout: Layout, first: Row, second: Row, folder: string): UsageError {
  const line = partingTemplate(layout, first.configuration, second.configuration);
  return new UsageError(
    `${placeOf(second)}: two rows have one weights dir, ${folder}: ${describeConfiguration(first.configuration)} ` +
      `(${placeOf(first)}), and ${describeConfiguration(second.configuration)}`,
    {
      code: "ERR_GRID",
      hint:
        line === null
          ? "rename one of them"
          : `separate them by a first entry under \`weights:\` in trainlock.yaml: ${line}`,
    },
  );
}

function sharedLock(first: Row, second: Row, lock: string): UsageError {
  return new UsageError(
    `${placeOf(second)}: two rows have one lock name, ${lock}: ${describeConfiguration(first.configuration)} ` +
      `(${placeOf(first)}), and ${describeConfiguration(second.configuration)}`,
    { code: "ERR_GRID", hint: "rename one of them: other programs compute the same lock name" },
  );
}
