import type { DimensionValue } from "../model/dimensions.ts";
import { nearest } from "../model/nearest.ts";
import type { Condition } from "./condition.ts";
import { readDoneDeclaration, readPatterns } from "./done-declaration.ts";
import {
  type Filter,
  filterNames,
  fixedFields,
  optionalFields,
  type Part,
  type Segment,
  type Template,
  type Vocabulary,
} from "./template.ts";
import { conflictOf, faultOf } from "./template-faults.ts";
import type { YamlValue } from "./yaml-reader.ts";

/** The weights templates; refused here when folders could not be led back to configurations, or to more than one. */
export function readWeights(value: YamlValue, vocabulary: Vocabulary): readonly Template[] {
  const read = value.list().map((item): [YamlValue, Template] => [item, readTemplate(item, vocabulary)]);
  if (read.length === 0) value.fail("at least one template");
  for (const [index, [item, template]] of read.entries()) {
    for (const [, earlier] of read.slice(0, index)) {
      if (earlier.conditions.length === 0)
        item.fail(`a template with conditions last: \`${earlier.text}\` above has none and takes every configuration`);
      const conflict = conflictOf(earlier, template, vocabulary);
      if (conflict !== null) item.fail(`templates that no two configurations share: ${conflict}`);
    }
  }
  return read.map(([, template]) => template);
}

/** A path below the root: the file lies in a shared folder, and must not lead out of it. */
export function readInnerPath(value: YamlValue): string {
  const expected = "a path within the root, without a leading '/' and without '..'";
  const path = value.text(expected).replace(/\/+$/, "");
  const names = path.split("/");
  const outside = path === "" || names.some((name) => name === "" || name === "." || name === "..");
  return outside || /\p{Cc}/u.test(path) ? value.fail(expected) : path;
}

function readTemplate(value: YamlValue, vocabulary: Vocabulary): Template {
  const own = value.isMapping ? value.mapping(["path", "when", "done", "checkpoint"]) : new Map<string, YamlValue>();
  const path = value.isMapping ? (own.get("path") ?? value.fail("a `path`")) : value;
  const text = readInnerPath(path);
  const segments = text.split("/").map((segment) => readSegment(segment, path, vocabulary));
  const conditions = [...(own.get("when")?.mapping() ?? [])].map(([field, wanted]) =>
    readCondition(field, wanted, vocabulary),
  );
  const [done, checkpoint] = [own.get("done"), own.get("checkpoint")];
  const template = {
    text,
    segments,
    conditions,
    done: done === undefined ? null : readDoneDeclaration(done),
    checkpoint: checkpoint === undefined ? null : readPatterns(checkpoint),
  };
  const fault = faultOf(template, vocabulary);
  return fault === null
    ? template
    : path.fail(`a template that leads back to its configurations; \`${text}\` ${fault}`);
}

function readSegment(text: string, value: YamlValue, vocabulary: Vocabulary): Segment {
  const pieces = text.split(/(\{[^{}]*\})/).filter((piece) => piece !== "");
  return pieces.flatMap((piece): Part[] => {
    if (piece === "{dimensions}")
      return vocabulary.dimensions.map(({ name }) => ({ kind: "field", field: name, filters: [] }));
    if (piece.startsWith("{") && piece.endsWith("}")) return [readField(piece.slice(1, -1), value, vocabulary)];
    return /[{}]/.test(piece) ? value.fail("each '{' with its '}'") : [{ kind: "literal", text: piece }];
  });
}

function fieldNames({ dimensions }: Vocabulary): string[] {
  return [...fixedFields, ...dimensions.map(({ name }) => name)];
}

function readField(text: string, value: YamlValue, vocabulary: Vocabulary): Part {
  const [field = "", ...filters] = text.split("|").map((word) => word.trim());
  const names = fieldNames(vocabulary);
  if (!names.includes(field))
    value.fail(`${oneOfOrNear(field, [...names, "dimensions"])} between '{' and '}', not ${JSON.stringify(field)}`);
  const known = filters.map((name): Filter => {
    const filter = filterNames.find((candidate) => candidate === name);
    return filter ?? value.fail(`${oneOfOrNear(name, filterNames)} as a filter, not ${JSON.stringify(name)}`);
  });
  return { kind: "field", field, filters: known };
}

function readCondition(field: string, value: YamlValue, vocabulary: Vocabulary): Condition {
  const names = fieldNames(vocabulary);
  if (!names.includes(field)) value.fail(`a condition on ${oneOfOrNear(field, names)}`);
  const optional =
    optionalFields.includes(field) || (vocabulary.dimensions.find(({ name }) => name === field)?.optional ?? false);
  const values = value.list().map((item): DimensionValue => item.scalar("a text, a number, `given` or `none`"));
  const only = values.length === 1 ? values[0] : undefined;
  if (optional && (only === "given" || only === "none")) return { field, anyOf: only };
  return values.length === 0 ? value.fail("at least one value") : { field, anyOf: values };
}

function oneOfOrNear(word: string, words: readonly string[]): string {
  const near = nearest(word, words);
  return near === null ? `one of ${words.join(", ")}` : `\`${near}\``;
}
