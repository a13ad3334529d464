import type { Configuration } from "../model/configuration.ts";
import type { DoneDeclaration } from "../site/done-declaration.ts";
import { declaredDone, mergedDone } from "../site/done-in-force.ts";
import type { Layout } from "../site/layout.ts";

/** Smaller files are what a crash left of a checkpoint. */
const smallestCheckpointBytes = 1024;

/** What shows that there is nothing left to train. */
export interface DoneRule {
  /** Patterns relative to the weights dir; a match of any of them will do. */
  readonly patterns: readonly string[];
  readonly smallestBytes: number;
  /** A file in the weights dir that a finished run left; it counts whatever its size. */
  readonly file: string | null;
}

/** The done rule in force for a configuration, key by key: the call's options, the row of a grid, its template, the site. */
export function doneRuleFor(
  { site }: Layout,
  configuration: Configuration,
  ...overrides: readonly (Partial<DoneDeclaration> | null)[]
): DoneRule {
  const { when, minBytes, file } = mergedDone([...overrides, declaredDone(site, configuration)]);
  return { patterns: when ?? [], smallestBytes: minBytes ?? smallestCheckpointBytes, file };
}

/** Whether the rule can hold at all. */
export function asksAnything({ patterns, file }: DoneRule): boolean {
  return patterns.length > 0 || file !== null;
}
