import { nameProblem } from "../model/names.ts";
import { parseSize } from "../model/sizes.ts";
import { isOwnName } from "./layout.ts";
import type { YamlValue } from "./yaml-reader.ts";

/** It is written under a longer name first. */
const longestDoneFileName = 200;

/** What shows that a configuration is trained, as far as one place says. Null: nothing said. */
export interface DoneDeclaration {
  /** Names or globs inside the weights dir; any of them will do. */
  readonly when: readonly string[] | null;
  /** Smaller matches do not count, bytes. */
  readonly minBytes: number | null;
  /** The file that `run` writes after exit code 0; counts by itself. */
  readonly file: string | null;
}

/** Reads `done:`, of the site, of a template or of a block of a grid. */
export function readDoneDeclaration(value: YamlValue): DoneDeclaration {
  const own = value.mapping(["when", "min_size", "file"]);
  if (own.size === 0) value.fail("one of when, min_size, file");
  const file = own.get("file");
  return {
    when: own.has("when") ? readPatterns(own.get("when") as YamlValue) : null,
    minBytes: own.has("min_size") ? readSize(own.get("min_size") as YamlValue) : null,
    file: file === undefined ? null : readFileName(file),
  };
}

/** Patterns for files inside a weights dir, at least one. */
export function readPatterns(value: YamlValue): readonly string[] {
  const patterns = value.list().map(readPattern);
  return patterns.length > 0 ? patterns : value.fail("at least one pattern");
}

/** Why a pattern cannot be one for files inside a weights dir, in words; null when it can. */
export function patternProblem(pattern: string): string | null {
  if (pattern.trim() === "") return "is empty";
  if (pattern.startsWith("/")) return "is an absolute path";
  if (pattern.includes("\0")) return "contains NUL";
  if (pattern.split(/[/{}(),|]/).includes("..")) return "leads out of the weights dir";
  return null;
}

/** Why a text cannot be the name of a done file, in words; null when it can. */
export function doneFileProblem(name: string): string | null {
  if (isOwnName(name)) return "is a name of trainlock's own";
  return Buffer.byteLength(name) > longestDoneFileName ? "is too long" : nameProblem(name);
}

function readPattern(value: YamlValue): string {
  const expected = "a name or glob for files inside the weights dir";
  const pattern = String(value.scalar(expected));
  return patternProblem(pattern) === null ? pattern : value.fail(expected);
}

function readSize(value: YamlValue): number {
  const expected = "a size such as 1KiB or 20M";
  return parseSize(String(value.scalar(expected))) ?? value.fail(expected);
}

function readFileName(value: YamlValue): string {
  const expected = "the name of a file in the weights dir";
  const name = value.text(expected);
  return doneFileProblem(name) === null ? name : value.fail(expected);
}
