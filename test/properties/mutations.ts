/** Pseudo-random numbers from a seed (mulberry32), so that a case that failed can be played again. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A whole number below `sides`. */
  below(sides: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % sides;
  }

  pick<T>(from: readonly T[]): T {
    const chosen = from[this.below(from.length)];
    if (chosen === undefined) throw new Error("nothing to pick from");
    return chosen;
  }
}

const hostile = [
  "\0",
  "\n",
  "\r\n",
  "\u001b[31m",
  "\u202e",
  '"',
  "\\",
  "{",
  "}",
  "[",
  "null",
  "true",
  "-1",
  "1e400",
  "9007199254740993",
  "../../etc",
  "__proto__",
  "constructor",
  "$(reboot)",
  "%s%n",
  "|",
  "*a",
  "&a",
  "<<: *a",
  "\ud800",
  "0",
  " ",
];

type Mutation = (text: string, dice: Dice) => string;

const cut: Mutation = (text, dice) => text.slice(0, dice.below(text.length + 1));
const insert: Mutation = (text, dice) => {
  const at = dice.below(text.length + 1);
  return text.slice(0, at) + dice.pick(hostile) + text.slice(at);
};
const remove: Mutation = (text, dice) => {
  const at = dice.below(text.length + 1);
  return text.slice(0, at) + text.slice(at + 1 + dice.below(8));
};
const replace: Mutation = (text, dice) => {
  const at = dice.below(text.length + 1);
  return text.slice(0, at) + String.fromCharCode(dice.below(256)) + text.slice(at + 1);
};
const repeat: Mutation = (text, dice) => {
  const at = dice.below(text.length + 1);
  return text.slice(0, at) + text.slice(at, at + dice.below(64)).repeat(1 + dice.below(3)) + text.slice(at);
};
const lines: Mutation = (text, dice) => {
  const all = text.split("\n");
  const [line = ""] = all.splice(dice.below(all.length), 1);
  all.splice(dice.below(all.length + 1), 0, ...Array.from({ length: dice.below(3) }, () => line));
  return all.join("\n");
};

/** What may become of a text on its way, or by the hand of somebody who may write it. */
export const anything: readonly Mutation[] = [cut, insert, remove, replace, repeat, lines];
/** What a list of lines may become that nobody forged: it ends early, and has noise in it. */
export const onTheWay: readonly Mutation[] = [cut, insert, lines];

export function mutate(text: string, dice: Dice, mutations: readonly Mutation[] = anything): string {
  let mutated = text;
  for (let times = 1 + dice.below(3); times > 0; times -= 1) mutated = dice.pick(mutations)(mutated, dice);
  return mutated;
}
