import { createRequire } from "node:module";
import type * as Yaml from "yaml";
import { UsageError } from "../model/errors.ts";
import { nearest } from "../model/nearest.ts";

/** One value of a YAML file with its place: every reading names line, key and what was expected when it fails. */
export interface YamlValue {
  readonly key: string;
  readonly line: number;
  /** Throws the UsageError that says what was expected here. */
  fail(expected: string): never;
  /** The same without what was found: it may be a secret. */
  refuse(expected: string): never;
  text(expected: string): string;
  integer(expected: string, least: number, most: number): number;
  flag(): boolean;
  /** The characters of a single value as they stand in the file; empty for anything else. */
  readonly source: string;
  /** Text or number. */
  scalar(expected: string): string | number;
  oneOf<T extends string>(words: readonly T[]): T;
  /** A list; a single value counts as a list of one. */
  list(): readonly YamlValue[];
  readonly isList: boolean;
  readonly isMapping: boolean;
  /** The values of a mapping whose keys must be among `known`; without `known`, any keys. */
  mapping(known?: readonly string[]): ReadonlyMap<string, YamlValue>;
}

/** Loaded only where there is such a file: 3 ms at every start would be too much. */
function loadYaml(): typeof Yaml {
  if (process.versions.bun === undefined) return createRequire(import.meta.url)("yaml");
  // By this name the bundler finds it.
  return require("yaml");
}

/** Reads a YAML text. `file` is its name in messages. Throws a UsageError for what is no YAML, or no mapping. */
export function readYaml(text: string, file: string): YamlValue {
  const yaml = loadYaml();
  const lineCounter = new yaml.LineCounter();
  const document = yaml.parseDocument(text, { lineCounter, uniqueKeys: true, version: "1.2" });
  const lineOf = (offset: number | undefined) => (offset === undefined ? 1 : lineCounter.linePos(offset).line);
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault !== undefined) {
    const line = fault.linePos?.[0].line ?? lineOf(fault.pos[0]);
    throw wrong(
      file,
      line,
      `not valid YAML: ${fault.message.split("\n")[0]?.replace(/ at line \d+, column \d+:?$/, "")}`,
    );
  }
  return valueAt(document.contents, "", 1);

  function valueAt(node: Yaml.Node | null, key: string, lineOfKey: number): YamlValue {
    const line = node?.range ? lineOf(node.range[0]) : lineOfKey;
    const found = node === null ? "nothing" : describe(node);
    const refuse = (expected: string, but = ""): never => {
      throw wrong(file, line, `${key === "" ? "" : `${key}: `}expected ${expected}${but}`);
    };
    const fail = (expected: string): never => refuse(expected, `, found ${found}`);
    const scalar = (expected: string): string | number => {
      const value: unknown = yaml.isScalar(node) ? node.value : undefined;
      return typeof value === "string" || typeof value === "number" ? value : fail(expected);
    };
    const text = (expected: string): string => {
      const value = scalar(expected);
      return typeof value === "string" && value.trim() !== "" ? value : fail(expected);
    };
    return {
      key,
      line,
      fail,
      refuse: (expected) => refuse(expected),
      scalar,
      text,
      integer: (expected, least, most) => {
        const value = scalar(expected);
        const fits = typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
        return fits ? value : fail(expected);
      },
      flag: () => {
        const value: unknown = yaml.isScalar(node) ? node.value : undefined;
        return typeof value === "boolean" ? value : fail("true or false");
      },
      oneOf: <T extends string>(words: readonly T[]): T => {
        const value = scalar(`one of ${words.join(", ")}`);
        return words.find((word) => word === value) ?? fail(`one of ${words.join(", ")}`);
      },
      source: yaml.isScalar(node) ? (node.source ?? "") : "",
      isList: yaml.isSeq(node),
      isMapping: yaml.isMap(node),
      list: () =>
        yaml.isSeq(node)
          ? node.items.map((item, index) => valueAt(yaml.isNode(item) ? item : null, `${key}[${index}]`, line))
          : [valueAt(node, key, line)],
      mapping: (known) => {
        if (!yaml.isMap(node)) return fail("a mapping (`key: value`)");
        const entries = node.items.map((pair): [string, YamlValue] => {
          const name = yaml.isScalar(pair.key) ? String(pair.key.value) : "";
          const keyLine = yaml.isNode(pair.key) && pair.key.range ? lineOf(pair.key.range[0]) : line;
          const path = key === "" ? name : `${key}.${name}`;
          if (known !== undefined && !known.includes(name)) {
            const near = nearest(name, known);
            const expected = near === null ? `one of ${known.join(", ")}` : `did you mean ${near}?`;
            throw wrong(file, keyLine, `${path}: no such key; ${expected}`);
          }
          return [name, valueAt(yaml.isNode(pair.value) ? pair.value : null, path, keyLine)];
        });
        return new Map(entries);
      },
    };
  }

  function describe(node: Yaml.Node): string {
    if (yaml.isSeq(node)) return "a list";
    if (yaml.isMap(node)) return "a mapping";
    if (yaml.isAlias(node)) return "an alias";
    const value: unknown = yaml.isScalar(node) ? node.value : null;
    return value === null ? "nothing" : JSON.stringify(value).slice(0, 100);
  }
}

function wrong(file: string, line: number, what: string): UsageError {
  return new UsageError(`${file}:${line}: ${what}`, {
    code: "ERR_SITE_CONFIG",
    hint: "docs/site-configuration.md describes every key; `trainlock init` writes a commented file",
  });
}
