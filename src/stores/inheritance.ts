/** The name of the hidden command that trains for a program of the library. */
export const spawnCommandName = "__spawned";

/** What a helper has from the program that started it, by descriptor. */
export interface Inheritance {
  /** When this descriptor ends, the program has released its claim. */
  readonly gate: number;
  /** The kernel lock, and files without a name that are to stay locked as long; none where it is not kept by a descriptor. */
  readonly locks: readonly number[];
}

export function inheritanceArguments({ gate, locks }: Inheritance): string[] {
  return [`--inherits=${[gate, ...locks].join(",")}`];
}

/** Null: a text that is none. */
export function parseInheritance(text: string): Inheritance | null {
  const [gate, ...locks] = text.split(",").map((each) => (/^\d{1,6}$/.test(each) ? Number(each) : Number.NaN));
  return gate === undefined || [gate, ...locks].some(Number.isNaN) ? null : { gate, locks };
}
