import { existsSync, renameSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import type { Configuration } from "../model/configuration.ts";
import type { Layout } from "../site/layout.ts";
import { beneath } from "../system/files/open-beneath.ts";
import { asSystemError } from "../system/libc/errno.ts";
import type { DoneRule } from "./done-rule.ts";
import { type DoneFinding, findDone } from "./find-done.ts";
import { matchingFiles } from "./matching-files.ts";

/** Whether what shows a training to be done was written after a time, milliseconds since the epoch. */
export function isNewer(layout: Layout, configuration: Configuration, path: string, sinceMs: number): boolean {
  const stats = statSync(resolve(layout.weightsDir(configuration), path), { throwIfNoEntry: false });
  return stats !== undefined && stats.mtimeMs > sinceMs;
}

/**
 * Makes way for training a configuration again, under its claim: the done file and what the rule's patterns match get names that
 * end in `.before-N`. What is newer than `sinceMs` is another's result of this time, and stays: it is what is found.
 */
export async function makeWay(
  layout: Layout,
  configuration: Configuration,
  rule: DoneRule,
  sinceMs: number,
): Promise<DoneFinding> {
  const found = await findDone(layout, configuration, rule);
  if (found.kind === "done" && isNewer(layout, configuration, found.path, sinceMs)) return found;
  const weightsDir = layout.weightsDir(configuration);
  const paths = new Set(rule.file === null ? [] : [join(weightsDir, rule.file)]);
  for (const pattern of rule.patterns) for (const { path } of await matchingFiles(weightsDir, pattern)) paths.add(path);
  const moved = [...paths].filter((path) => existsSync(path));
  let number = 1;
  while (moved.some((path) => existsSync(`${path}.before-${number}`))) number += 1;
  if (moved.length > 0) {
    beneath(layout, weightsDir, (folder) => {
      for (const path of moved.map((each) => join(folder, relative(weightsDir, each)))) {
        try {
          renameSync(path, `${path}.before-${number}`);
        } catch (error) {
          throw asSystemError("rename", path, error);
        }
      }
    });
  }
  return { kind: "not done" };
}
