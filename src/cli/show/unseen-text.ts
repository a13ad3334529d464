import type { EnvironmentError } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { say } from "../output.ts";

const mostNamed = 20;

/** What a listing could not look at. */
export interface Unseen {
  /** Folders and files, each with the reason. */
  readonly unreadable: ReadonlyMap<string, string>;
  /** Links where folders belong. */
  readonly links: readonly string[];
  /** The store that does not answer; absent: it does, or there is none. */
  readonly store?: { readonly address: string; readonly error: EnvironmentError };
}

/** Says on standard error what a listing knows nothing of. */
export function sayUnseen({ unreadable, links, store }: Unseen, consequence: string): void {
  if (store !== undefined) {
    say(`trainlock: ${printable(store.error.message)}${consequence}`);
    if (store.error.hint !== undefined) say(`  ${printable(store.error.hint)}`);
  }
  for (const [path, why] of unreadable) say(`trainlock: cannot look into ${printable(path)}: ${why}${consequence}`);
  for (const path of links.slice(0, mostNamed))
    say(`trainlock: ${printable(path)} is a link, and is not followed: what is behind it is not seen`);
  if (links.length > mostNamed) say(`trainlock: ${links.length - mostNamed} more links are not followed either`);
}

/** Instead of saying that there is none: nobody knows. Null: all was looked at. */
export function noneIn(what: string, { unreadable, links, store }: Unseen): string | null {
  const count = (number: number, one: string, more: string) =>
    number === 0 ? [] : [number === 1 ? one : `${number} ${more}`];
  const unseen = [
    ...count(store === undefined ? 0 : 1, "the store was not", ""),
    ...count(unreadable.size, "1 folder was not", "folders were not"),
    ...count(links.length, "1 link was not followed", "links were not followed"),
  ];
  return unseen.length === 0 ? null : `Found no ${what} in what could be read; ${unseen.join(", ")}\n`;
}

/** Keys of a JSON document; none where all was looked at. */
export function unseenJson({ unreadable, links, store }: Unseen) {
  const all = [...unreadable, ...(store === undefined ? [] : [[store.address, store.error.message]])];
  return {
    ...(all.length === 0 ? {} : { unreadable: all.map(([path, why]) => ({ path, why })) }),
    ...(links.length === 0 ? {} : { links }),
  };
}
