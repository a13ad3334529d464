import { patternProblem } from "./done-declaration.ts";
import type { YamlValue } from "./yaml-reader.ts";

/** Where trainings of a site write how far they are. */
export interface ProgressDeclaration {
  /** Within the weights dir; `*` in its last name stands for anything. */
  readonly file: string;
  /** What stands in a line: texts around `{step}` and, where they say it, `{of}`. */
  readonly line: string;
}

/** Reads `progress:`. No regular expression: the file is shared, and some of them never end. */
export function readProgressDeclaration(value: YamlValue): ProgressDeclaration {
  const own = value.mapping(["file", "line"]);
  return {
    file: readFile(own.get("file") ?? value.fail("a `file`")),
    line: readLine(own.get("line") ?? value.fail("a `line`")),
  };
}

function readFile(value: YamlValue): string {
  const expected = "the name of a file in the weights dir, such as train.log or logs/*.log";
  const file = value.text(expected);
  const folders = file.split("/").slice(0, -1);
  const strange =
    /[?[\]{}\p{Cc}]/u.test(file) || folders.some((name) => name === "" || name === "." || /\*/.test(name));
  return patternProblem(file) === null && !strange && !file.endsWith("/") ? file : value.fail(expected);
}

function readLine(value: YamlValue): string {
  const expected = "a text with {step} once, and {of} at most once, such as Iter {step}/{of}";
  const line = value.text(expected);
  const fields = line.match(/\{[^{}]*\}/g) ?? [];
  const count = (field: string) => fields.filter((found) => found === field).length;
  const fits = count("{step}") === 1 && count("{of}") <= 1 && fields.length === count("{step}") + count("{of}");
  const apart = !/\}\{/.test(line);
  return fits && apart && line.length <= 200 && !/\p{Cc}/u.test(line) ? line : value.fail(expected);
}
