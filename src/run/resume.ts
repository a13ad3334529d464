import { relative } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import { declaredCheckpoint } from "../site/done-in-force.ts";
import type { Layout } from "../site/layout.ts";
import { type MatchingFile, matchingFiles } from "./matching-files.ts";

/** What a training can go on from; empty where there is nothing. */
export interface ResumePoints {
  readonly newest: string;
  /** The newest may be torn after a kill. */
  readonly before: string;
}

/**
 * The two newest of what the site's `checkpoint:` names in a weights dir, by their numbers, none smaller than `smallestBytes`.
 * A checkpoint may be a folder. Throws an EnvironmentError where the folder cannot be looked into.
 */
export async function findResumePoints(
  layout: Layout,
  configuration: Configuration,
  smallestBytes: number,
): Promise<ResumePoints> {
  const weightsDir = layout.weightsDir(configuration);
  const found = new Map<string, MatchingFile>();
  for (const pattern of declaredCheckpoint(layout.site, configuration)) {
    for (const file of await matchingFiles(weightsDir, pattern, { folders: true })) found.set(file.path, file);
  }
  const [newest, before] = [...found.values()]
    .filter(({ bytes }) => bytes >= smallestBytes)
    .map((file) => ({ ...file, numbers: numbersOf(relative(weightsDir, file.path)) }))
    .sort((a, b) => compare(b.numbers, a.numbers) || Number(b.modifiedNs - a.modifiedNs));
  return { newest: newest?.path ?? "", before: before?.path ?? "" };
}

/** `epoch=3-step=01200.ckpt`: 3, 1200. */
function numbersOf(name: string): readonly bigint[] {
  return (name.match(/\d+/g) ?? []).map(BigInt);
}

/** Compares by the first number that differs. A name without that number is older. */
function compare(a: readonly bigint[], b: readonly bigint[]): number {
  for (let index = 0; index < Math.max(a.length, b.length); index += 1) {
    const [one = -1n, other = -1n] = [a[index], b[index]];
    if (one !== other) return one < other ? -1 : 1;
  }
  return 0;
}
