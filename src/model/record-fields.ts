import { lazily } from "./lazily.ts";

/** Stands for a value that is not what it should be. */
export const wrong = Symbol("wrong");

/**
 * What a value of a JSON document says, whatever is there. By hand: of a library's schemas, making them takes longer than a whole
 * reading.
 */
export type Read<T> = (value: unknown) => T | typeof wrong;

/** How one value of a JSON document is read, and how it is written. */
export interface Field<T> {
  readonly read: Read<T>;
  /** `undefined` leaves the key out. */
  write(value: T): unknown;
  /** Another key that it is read from where its own is not there: an older writer's. */
  readonly olderKey?: string;
}

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What a table of fields describes. */
export type ValuesOf<F extends Fields> = { readonly [Key in keyof F]: F[Key] extends Field<infer T> ? T : never };

/** A value that is written as it is read. */
export function plain<T>(read: Read<T>): Field<T> {
  return { read, write: (value) => value };
}

/** Null where it is not there or not what it should be: one lie in a document does not take the rest with it. */
export function orNull<T>({ read, write }: Field<T>): Field<T | null> {
  return { read: lenient(read), write: (value) => (value === null ? null : write(value)) };
}

export function lenient<T>(read: Read<T>): (value: unknown) => T | null {
  return orElse<T | null>(read, null);
}

/** `missing` where it is not there or not what it should be. */
export function orElse<T>(read: Read<T>, missing: T): (value: unknown) => T {
  return (value) => {
    if (value === null || value === undefined) return missing;
    const found = read(value);
    return found === wrong ? missing : found;
  };
}

/** What the one or the other reads. */
export function either<A, B>(one: Read<A>, other: Read<B>): Read<A | B> {
  return (value) => {
    const found = one(value);
    return found === wrong ? other(value) : found;
  };
}

/** What `read` reads, if it is right. */
export function such<T>(read: Read<T>, isRight: (value: T) => boolean): Read<T> {
  return (value) => {
    const found = read(value);
    return found === wrong || !isRight(found) ? wrong : found;
  };
}

export const anyText: Read<string> = (value) => (typeof value === "string" ? value : wrong);
export const text = such(anyText, ({ length }) => length >= 1 && length <= 16_384);

export function matching(pattern: RegExp): Read<string> {
  return such(anyText, (value) => pattern.test(value));
}

export const number: Read<number> = (value) => (typeof value === "number" && !Number.isNaN(value) ? value : wrong);
export const finite = such(number, Number.isFinite);
export const integer = such(number, Number.isSafeInteger);
export const natural = such(integer, (value) => value >= 0);

export function oneOf<const T extends string | number>(words: readonly T[]): Read<T> {
  return (value) => words.find((word) => word === value) ?? wrong;
}

/** A list of what `read` reads; one that is wrong makes all of it wrong. */
export function listOf<T>(read: Read<T>, most = Number.POSITIVE_INFINITY): Read<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value) || value.length > most) return wrong;
    const items: T[] = [];
    for (const each of value) {
      const found = read(each);
      if (found === wrong) return wrong;
      items.push(found);
    }
    return items;
  };
}

/** An object of these fields; in JSON their names have underscores. */
export function objectOf<F extends Fields>(fields: F): Field<ValuesOf<F>> {
  const named = lazily(() =>
    Object.entries(fields).map(([key, field]) => ({
      key,
      json: withUnderscores(key),
      olderKey: field.olderKey,
      field,
    })),
  );
  return {
    read: (raw) => {
      if (typeof raw !== "object" || raw === null) return wrong;
      const document = raw as Readonly<Record<string, unknown>>;
      // Loops: a listing reads ten thousand records.
      const values: Record<string, unknown> = {};
      for (const { key, json, olderKey, field } of named()) {
        const own = field.read(document[json]);
        const older = olderKey === undefined ? null : field.read(document[olderKey]);
        if (own === wrong || older === wrong) return wrong;
        values[key] = own ?? older;
      }
      return values as ValuesOf<F>;
    },
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
