import * as v from "valibot";
import { lazily } from "./lazily.ts";

/** Made when something is read for the first time: most calls find no record, and some only write theirs. */
export type LazySchema<T> = () => v.GenericSchema<unknown, T>;

/** How one value of a JSON document is read, whatever is there, and how it is written. */
export interface Field<T> {
  readonly read: LazySchema<T>;
  /** `undefined` leaves the key out. */
  write(value: T): unknown;
  /** Another key that it is read from where its own is not there: an older writer's. */
  readonly olderKey?: string;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What a table of fields describes. */
export type ValuesOf<F extends Fields> = { readonly [Key in keyof F]: F[Key] extends Field<infer T> ? T : never };

/** A value that is written as it is read. */
export function plain<T>(read: LazySchema<T>): Field<T> {
  return { read, write: (value) => value };
}

/** Null where it is not there or not what it should be: one lie in a document does not take the rest with it. */
export function orNull<T>({ read, write }: Field<T>): Field<T | null> {
  return { read: lenient(read), write: (value) => (value === null ? null : write(value)) };
}

export function lenient<T>(read: LazySchema<T>): LazySchema<T | null> {
  return () => v.fallback(v.nullish(read(), null), null);
}

/** An object of these fields; in JSON their names have underscores. */
export function objectOf<F extends Fields>(fields: F): Field<ValuesOf<F>> {
  const named = lazily(() =>
    Object.entries(fields).map(([key, field]) => {
      const json = withUnderscores(key);
      return { key, json, olderKey: field.olderKey ?? json, field };
    }),
  );
  // Loops: a listing reads ten thousand records.
  const valuesIn = (raw: Readonly<Record<string, unknown>>) => {
    const values: Record<string, unknown> = {};
    for (const { key, json, olderKey } of named()) values[key] = raw[json] ?? raw[olderKey];
    return values as ValuesOf<F>;
  };
  return {
    read: lazily(() => {
      const entries: Record<string, v.GenericSchema> = {};
      for (const { json, olderKey, field } of named()) {
        entries[json] = field.read();
        entries[olderKey] = entries[json];
      }
      return v.pipe(v.object(entries), v.transform(valuesIn));
    }),
    write: (values) => {
      const written: Record<string, unknown> = {};
      for (const { key, json, field } of named()) written[json] = field.write(values[key]);
      return written;
    },
  };
}

function withUnderscores(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
