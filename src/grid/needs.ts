import { statSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { EnvironmentError, messageOf, TrainlockError } from "../model/errors.ts";
import { sameConfiguration } from "../model/owner-record.ts";
import { fieldOf } from "../site/condition.ts";
import type { DoneDeclaration } from "../site/done-declaration.ts";
import type { Layout } from "../site/layout.ts";
import { asSystemError, isErrno } from "../system/libc/errno.ts";
import type { FieldReader } from "./fields.ts";
import type { Need } from "./grid.ts";

/**
 * Whether the configuration that a row needs is done. `done`: what its block in the grid says, before template and site. Rejects
 * with a TrainlockError where that cannot be looked at.
 */
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

  /**
   * The first need of a row that is not there, in words; null: all are. Throws an EnvironmentError where that cannot be looked at:
   * such a need is neither there nor missing.
   */
  async missing(configuration: Configuration, needs: readonly Need[]): Promise<string | null> {
    let unseen: unknown = null;
    for (const need of needs) {
      try {
        const missing = await this.#missing(configuration, need);
        if (missing !== null) return missing;
      } catch (error) {
        unseen ??= error;
      }
    }
    if (unseen !== null) throw unseen;
    return null;
  }

  async #missing(configuration: Configuration, need: Need): Promise<string | null> {
    if (need.kind === "path") {
      const path = neededPath(this.#reader.layout, configuration, need.pattern);
      return this.#exists(path) ? null : `needs ${path}, which is not there`;
    }
    const needed = neededRow(this.#reader, configuration, need.fields);
    if (needed === null) return null;
    const name = this.#nameBeside(needed, configuration);
    try {
      return (await this.#isDone(needed, need.done)) ? null : `needs ${name}, which is not done`;
    } catch (error) {
      if (!(error instanceof TrainlockError)) throw error;
      throw new EnvironmentError(`whether ${name} is done, which it needs, is not known: ${messageOf(error)}`, {
        code: error.code,
        hint: "`trainlock why` of that row says more",
      });
    }
  }

  /** Its name; all that it consists of where the row itself has that name. */
  #nameBeside(needed: Configuration, of: Configuration): string {
    const { layout } = this.#reader;
    const name = layout.displayName(needed);
    return name === layout.displayName(of) ? `${name} (${describeConfiguration(needed)})` : name;
  }

  #exists(path: string): boolean {
    const known = this.#paths.get(path) ?? isThere(path);
    this.#paths.set(path, known);
    return known;
  }
}

function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR", "ELOOP", "ENAMETOOLONG")) return false;
    throw asSystemError("look at what it needs,", path, error);
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
