import { createRequire } from "node:module";
import type * as Yaml from "yaml";
import { UsageError } from "../model/errors.ts";
import { lazily } from "../model/lazily.ts";
import { nearest } from "../model/nearest.ts";
import { lineNestedTooDeeply, resolveAliases } from "./yaml-bounds.ts";

const siteHint = "`trainlock help site-configuration` describes every key; `trainlock init` writes a commented file";

/** Loaded only where there is such a file: 3 ms at every start would be too much. */
function loadYaml(): typeof Yaml {
  if (process.versions.bun === undefined) return createRequire(import.meta.url)("yaml");
  // By this name the bundler finds it.
  return require("yaml");
}

/**
 * Reads a YAML text. `file` is its name in messages, `hint` the way out in them. Throws a UsageError for what is no YAML.
 */
export function readYaml(text: string, file: string, hint: string = siteHint): YamlValue {
  const yaml = loadYaml();
  const deepLine = lineNestedTooDeeply(yaml, text);
  if (deepLine !== null) throw mistake({ file, hint }, deepLine, "lists and mappings are nested too deeply");
  const lines = new yaml.LineCounter();
  // Editors of Windows write a byte order mark, which the parser takes for the first column.
  const document = yaml.parseDocument(text.replace(/^\uFEFF/, ""), {
    lineCounter: lines,
    uniqueKeys: true,
    version: "1.2",
  });
  const aliases = lazily(() => resolveAliases(yaml, document));
  const context: YamlContext = { yaml, document, aliases, lines, file, hint };
  const fault = document.errors[0] ?? document.warnings[0];
  if (fault === undefined) return new YamlValue(context, document.contents, "", 1);
  const line = fault.linePos?.[0].line ?? lines.linePos(fault.pos[0]).line;
  const why =
    fault.code === "MULTIPLE_DOCS"
      ? "a second document begins (---)"
      : fault.message.split("\n")[0]?.replace(/ at line \d+, column \d+:?$/, "");
  // The error is placed at the key.
  const key = fault.code === "DUPLICATE_KEY" ? /^[^\s:,{}"']{1,80}/.exec(text.slice(fault.pos[0]))?.[0] : undefined;
  throw mistake(
    context,
    line,
    `not valid YAML: ${key === undefined ? "" : `${key}: `}${why}${/\btabs?\b/i.test(why ?? "") ? "" : tabNear(text, line)}`,
  );
}

/** A tab looks like spaces, and the parser speaks of what it makes of the line instead. */
function tabNear(text: string, line: number): string {
  const lines = text.split("\n");
  const found = [line, line - 1, line + 1].find((at) => /^[ -]*\t/.test(lines[at - 1] ?? ""));
  return found === undefined ? "" : `. Line ${found} has a tab, and YAML is indented by spaces alone`;
}

const mergeKey = "<<";
/** Of a chain of mappings that take in each other. */
const mostMerged = 100;

interface YamlContext {
  readonly yaml: typeof Yaml;
  readonly document: Yaml.Document.Parsed;
  readonly aliases: () => ReadonlyMap<Yaml.Alias, Yaml.Node>;
  readonly lines: Yaml.LineCounter;
  readonly file: string;
  readonly hint: string;
}

function mistake({ file, hint }: Pick<YamlContext, "file" | "hint">, line: number, what: string): UsageError {
  return new UsageError(`${file}:${line}: ${what}`, { code: "ERR_SITE_CONFIG", hint });
}

/** One value of a YAML file with its place: every reading names line, key and what was expected when it fails. */
export class YamlValue {
  readonly key: string;
  readonly line: number;
  readonly #context: YamlContext;
  readonly #node: Yaml.Node | null;

  constructor(context: YamlContext, node: Yaml.Node | null, key: string, lineOfKey: number) {
    const { yaml, aliases, lines } = context;
    this.#context = context;
    this.key = key;
    this.line = node?.range ? lines.linePos(node.range[0]).line : lineOfKey;
    // Followed one step a level, so that an alias that contains itself leads nowhere.
    this.#node = yaml.isAlias(node) ? (aliases().get(node) ?? null) : node;
  }

  /** Throws the UsageError that says what was expected here, and what was found. */
  fail(expected: string): never {
    return this.refuse(`${expected}, found ${this.#found()}`);
  }

  /** The same without what was found: it may be a secret. */
  refuse(expected: string): never {
    throw mistake(this.#context, this.line, `${this.key === "" ? "" : `${this.key}: `}expected ${expected}`);
  }

  #found(): string {
    const { yaml } = this.#context;
    if (yaml.isSeq(this.#node)) return "a list";
    if (yaml.isMap(this.#node)) return "a mapping";
    const value = this.#value();
    return value === undefined || value === null ? "nothing" : JSON.stringify(value).slice(0, 100);
  }

  #value(): unknown {
    return this.#context.yaml.isScalar(this.#node) ? this.#node.value : undefined;
  }

  /** Text or number. */
  scalar(expected: string): string | number {
    const value = this.#value();
    return typeof value === "string" || typeof value === "number" ? value : this.fail(expected);
  }

  text(expected: string): string {
    const value = this.scalar(expected);
    return typeof value === "string" && value.trim() !== "" ? value : this.fail(expected);
  }

  integer(expected: string, least: number, most: number): number {
    const value = this.scalar(expected);
    const fits = typeof value === "number" && Number.isInteger(value) && value >= least && value <= most;
    return fits ? value : this.fail(expected);
  }

  /** The version of a file. Another one is a later trainlock's. */
  version(known: number): number {
    const value = this.#value();
    if (value === known) return known;
    const what = `${this.key}: expected ${known}, the only version that this trainlock knows, found ${this.#found()}`;
    throw mistake({ file: this.#context.file, hint: this.#orOlder() }, this.line, what);
  }

  flag(): boolean {
    const value = this.#value();
    return typeof value === "boolean" ? value : this.fail("true or false");
  }

  oneOf<T extends string>(words: readonly T[]): T {
    const value = this.scalar(`one of ${words.join(", ")}`);
    return words.find((word) => word === value) ?? this.fail(`one of ${words.join(", ")}`);
  }

  /** The characters of a single value as they stand in the file; empty for anything else. */
  get source(): string {
    return this.#context.yaml.isScalar(this.#node) ? (this.#node.source ?? "") : "";
  }

  /** A single value as it is written: `01`, `1e5`; `none` for nothing. */
  written(expected: string): string {
    if (this.#node === null) return "none";
    const value = this.#value();
    if (value === undefined || typeof value === "boolean") return this.fail(expected);
    return this.source === "" && value !== "" ? String(value) : this.source;
  }

  get isNothing(): boolean {
    return this.#node === null;
  }

  get isList(): boolean {
    return this.#context.yaml.isSeq(this.#node);
  }

  get isMapping(): boolean {
    return this.#context.yaml.isMap(this.#node);
  }

  /** A list; a single value counts as a list of one. */
  list(): readonly YamlValue[] {
    const { yaml } = this.#context;
    if (!yaml.isSeq(this.#node)) return [this];
    return this.#node.items.map((item, index) => this.#child(item, `${this.key}[${index}]`, this.line));
  }

  /** The values of a mapping whose keys must be among `known`; without `known`, any keys. */
  mapping(known?: readonly string[]): ReadonlyMap<string, YamlValue> {
    const { yaml } = this.#context;
    if (!yaml.isMap(this.#node)) return this.fail("a mapping (`key: value`)");
    return this.#entriesOf(this.#node, known, new Set());
  }

  /** With those of the mappings that `<<: *name` takes in, behind its own. */
  #entriesOf(node: Yaml.YAMLMap, known: readonly string[] | undefined, taken: Set<unknown>): Map<string, YamlValue> {
    const { yaml, lines } = this.#context;
    taken.add(node);
    const merged: YamlValue[] = [];
    const own = node.items.flatMap((pair): [string, YamlValue][] => {
      const name = yaml.isScalar(pair.key) ? String(pair.key.value) : "";
      const line = yaml.isNode(pair.key) && pair.key.range ? lines.linePos(pair.key.range[0]).line : this.line;
      const path = this.key === "" ? name : `${this.key}.${name}`;
      if (name === mergeKey) {
        merged.push(...this.#child(pair.value, path, line).list());
        return [];
      }
      if (known !== undefined && !known.includes(name)) throw this.#noSuchKey(path, name, line, known);
      return [[name, this.#child(pair.value, path, line)]];
    });
    const entries = new Map(own);
    for (const value of merged) {
      const other = value.#node;
      if (!yaml.isMap(other)) return value.fail("a mapping (`<<: *name`)");
      // An alias may stand in what it names.
      if (taken.has(other)) continue;
      if (taken.size > mostMerged) value.refuse(`no more than ${mostMerged} mappings in one`);
      for (const [name, from] of value.#entriesOf(other, known, taken)) if (!entries.has(name)) entries.set(name, from);
    }
    return entries;
  }

  #noSuchKey(path: string, name: string, line: number, known: readonly string[]): UsageError {
    const near = nearest(name, known);
    const expected = near === null ? `one of ${known.join(", ")}` : `did you mean ${near}?`;
    // What is near to a known key is misspelt, and not of a newer trainlock.
    const hint = near === null ? this.#orOlder() : this.#context.hint;
    return mistake({ file: this.#context.file, hint }, line, `${path}: no such key; ${expected}`);
  }

  #orOlder(): string {
    return `${this.#context.hint}. Or this trainlock is older than the file: trainlock --version`;
  }

  #child(node: unknown, key: string, line: number): YamlValue {
    return new YamlValue(this.#context, this.#context.yaml.isNode(node) ? node : null, key, line);
  }
}
