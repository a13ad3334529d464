import { UsageError } from "../model/errors.ts";
import { readDoneDeclaration } from "../site/done-declaration.ts";
import { readAttempts } from "../site/site-file.ts";
import { readYaml, type YamlValue } from "../site/yaml-reader.ts";
import type { Block, Exclusion, PlacedText } from "./block.ts";
import type { FieldReader } from "./fields.ts";
import type { BlockSettings, Need, Place } from "./grid.ts";

const settingNames = ["exclude", "done", "needs", "submit", "max_attempts"] as const;

/** The blocks of a grid in YAML: a list of mappings, or one mapping. Throws a UsageError with line and key. */
export function readBlocks({ names }: FieldReader, file: string, top: YamlValue): Block[] {
  if (top.isNothing && top.key === "") {
    throw new UsageError(`${file}: the file is empty`, {
      code: "ERR_GRID",
      hint: "`trainlock help grids` describes grids",
    });
  }
  const items = top.list();
  if (items.length === 0) top.fail("at least one block: strategy, dataset, model, each a value or a list");
  return items.map((item) => readBlock(names, file, item));
}

function readBlock(fields: readonly string[], file: string, value: YamlValue): Block {
  const own = value.mapping([...fields, ...settingNames]);
  return {
    place: placeOf(file, value),
    fields: readFields(file, fields, own),
    exclude:
      own
        .get("exclude")
        ?.list()
        .map((item) => readExclusion(file, fields, item)) ?? [],
    settings: readSettings(fields, own),
  };
}

/** Settings of a block as one text: JSON is YAML, too. Throws a UsageError with the place. */
export function readSettingsText({ names }: FieldReader, place: Place, text: string): BlockSettings {
  return readSettings(names, readYaml(text, place, "`trainlock help grids` describes grids").mapping(settingNames));
}

function readFields(file: string, fields: readonly string[], own: ReadonlyMap<string, YamlValue>) {
  const read = new Map<string, readonly PlacedText[]>();
  for (const [key, value] of own) {
    if (fields.includes(key)) read.set(key, readTexts(file, value));
  }
  return read;
}

function readTexts(file: string, value: YamlValue): PlacedText[] {
  const items = value.list();
  if (items.length === 0) value.fail("at least one value");
  return items.map((item) => ({ text: item.written("a text, a number, or none"), place: placeOf(file, item) }));
}

function readExclusion(file: string, fields: readonly string[], value: YamlValue): Exclusion {
  return { place: placeOf(file, value), fields: readFields(file, fields, value.mapping(fields)) };
}

function readSettings(fields: readonly string[], own: ReadonlyMap<string, YamlValue>): BlockSettings {
  const done = own.get("done");
  const attempts = own.get("max_attempts");
  return {
    done: done === undefined ? null : readDoneDeclaration(done),
    needs:
      own
        .get("needs")
        ?.list()
        .map((item) => readNeed(fields, item)) ?? [],
    submit: own.get("submit")?.list().map(readOption) ?? [],
    maxAttempts: attempts === undefined ? null : readAttempts(attempts),
  };
}

function readNeed(fields: readonly string[], value: YamlValue): Need {
  if (!value.isMapping) return { kind: "path", pattern: readNeededPath(fields, value) };
  const own = value.mapping([...fields, "done"]);
  const wanted = [...own].flatMap(([field, item]) =>
    field === "done" ? [] : [[field, item.written("a value")] as const],
  );
  if (wanted.length === 0) value.fail("a path, or a row such as { stage: 1 }");
  const done = own.get("done");
  return {
    kind: "row",
    fields: Object.fromEntries(wanted),
    done: done === undefined ? null : readDoneDeclaration(done),
  };
}

/** What stands in braces in a needed path. */
export const neededPlaceholders = ["root", "weights_dir", "name"] as const;

function readNeededPath(fields: readonly string[], value: YamlValue): string {
  const known = [...neededPlaceholders, ...fields];
  const pattern = value.text("a path, or a row such as { stage: 1 }");
  const wrong = [...pattern.matchAll(/\{([^{}]*)\}/g)].find(([, name]) => !known.includes(name ?? ""));
  if (wrong !== undefined) value.fail(`a path in which {…} is one of ${known.join(", ")}`);
  return pattern.includes("\0") ? value.fail("a path") : pattern;
}

function readOption(value: YamlValue): string {
  const option = value.written("an option for the scheduler, such as --gres=gpu:1");
  const isOption = /^-/.test(option) && !/\p{Cc}/u.test(option);
  return isOption ? option : value.fail("an option for the scheduler that begins with '-'");
}

function placeOf(file: string, { line }: YamlValue): Place {
  return `${file}:${line}`;
}
