import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { sameConfiguration } from "../model/owner-record.ts";
import { fieldOf } from "../site/condition.ts";
import type { DoneDeclaration } from "../site/done-declaration.ts";
import type { Layout } from "../site/layout.ts";
import type { FieldReader } from "./fields.ts";
import type { Need } from "./grid.ts";

/** Whether the configuration that a row needs is done. `done`: what its block in the grid says, before template and site. */
export type IsDone = (configuration: Configuration, done: DoneDeclaration | null) => Promise<boolean>;

/** Finds out what rows need and is not there. One question a path and a configuration, however many rows need it. */
export class NeedChecker {
  readonly #reader: FieldReader;
  readonly #isDone: IsDone;
  readonly #paths = new Map<string, boolean>();

  constructor(reader: FieldReader, isDone: IsDone) {
    this.#reader = reader;
    this.#isDone = isDone;
  }

  /** The first need of a row that is not there, in words; null: all are. */
  async missing(configuration: Configuration, needs: readonly Need[]): Promise<string | null> {
    for (const need of needs) {
      if (need.kind === "path") {
        const path = neededPath(this.#reader.layout, configuration, need.pattern);
        if (!this.#exists(path)) return `needs ${path}, which is not there`;
      } else {
        const needed = neededRow(this.#reader, configuration, need.fields);
        if (needed !== null && !(await this.#isDone(needed, need.done)))
          return `needs ${this.#nameBeside(needed, configuration)}, which is not done`;
      }
    }
    return null;
  }

  /** Its name; all that it consists of where the row itself has that name. */
  #nameBeside(needed: Configuration, of: Configuration): string {
    const { layout } = this.#reader;
    const name = layout.displayName(needed);
    return name === layout.displayName(of) ? `${name} (${describeConfiguration(needed)})` : name;
  }

  #exists(path: string): boolean {
    const known = this.#paths.get(path) ?? existsSync(path);
    this.#paths.set(path, known);
    return known;
  }
}

/** The row itself with other values in the named fields; null where it has them: of `stage: 1`, `{ stage: 1 }` asks nothing. */
export function neededRow(
  reader: FieldReader,
  configuration: Configuration,
  fields: Readonly<Record<string, string>>,
): Configuration | null {
  const valueIn = (name: string) =>
    Object.hasOwn(fields, name) ? reader.parse(name, fields[name] ?? "none") : fieldOf(configuration, name);
  const needed = reader.compose(new Map(reader.names.map((name) => [name, valueIn(name)])));
  return sameConfiguration(needed, configuration) ? null : needed;
}

/** A needed path with the row's values in the place of its braces; below the root where it is not absolute. */
export function neededPath(layout: Layout, configuration: Configuration, pattern: string): string {
  const path = pattern.replaceAll(/\{([^{}]*)\}/g, (_, name: string) => {
    if (name === "root") return layout.root;
    if (name === "weights_dir") return layout.weightsDir(configuration);
    if (name === "name") return layout.displayName(configuration);
    return String(fieldOf(configuration, name) ?? "");
  });
  return isAbsolute(path) ? path : join(layout.root, path);
}
