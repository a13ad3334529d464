import { UsageError } from "../model/errors.ts";

/**
 * An option, written once: help, completion and parser read it, and the type of its value follows from it. `Always` says whether
 * a call without the option has a value all the same.
 */
export interface Option<T = unknown, Always extends boolean = boolean> {
  /** `negated` is given as `--no-NAME`, `either` as `--NAME` or `--no-NAME`. */
  readonly form: "flag" | "negated" | "either" | "value" | "optional value";
  readonly description: string;
  /** Of `--no-NAME` where the form is `either`. */
  readonly negatedDescription?: string;
  readonly short?: string;
  /** Names the value in help: `<dir>`. */
  readonly placeholder?: string;
  /** Its value may begin with `--`: it is an option for another program. */
  readonly takesOptions?: boolean;
  readonly choices?: readonly string[];
  /** What a shell offers for it, where lists separated by commas are read. */
  readonly listOf?: readonly string[];
  /** Of an optional value: whether the next word can be it. Else that word is the first operand. */
  mayBeValue?(text: string): boolean;
  /** The text in force without the option, as help shows it. */
  readonly defaultText?: string;
  /** The heading in help under which it stands; without one it is the command's own. */
  readonly group?: OptionGroup;
  readonly always: Always;
  /** Not named as what somebody may have meant: what it does cannot be undone. */
  readonly isFinal?: true;
  /** The value without the option, where it always has one. */
  absent(): T | undefined;
  /** `text` is null where none is given; `before` is the value of the same option earlier in the call. */
  read(flag: string, text: string | null, before: T | undefined): T;
}

/** In the order of help. The command's own options stand after the configuration. */
export const optionGroups = ["Configuration", "Options", "Finding out who holds a lock", "Common options"] as const;
export type OptionGroup = (typeof optionGroups)[number];

/** The same options, under a heading of help. */
export function grouped<O extends Options>(group: OptionGroup, options: O): O {
  const named: Record<string, Option> = {};
  for (const [key, option] of Object.entries(options)) named[key] = { ...option, group };
  return named as unknown as O;
}

export type Options = Readonly<Record<string, Option>>;

/** What is given without a flag: one text, one or none, all that is left (one or more), or what follows `--` (one or more). */
export interface Operand<T = unknown> {
  readonly description: string;
  readonly form: "one" | "optional" | "rest" | "after --";
  readonly choices?: readonly string[];
  /** What it is where none is given, if that is right; else the call is wrong. */
  readonly missing?: T;
  /** Never set: it carries the type of the value. */
  readonly type?: T;
}

/** In their order in the call. */
export type Operands = Readonly<Record<string, Operand>>;

export type ValuesOf<O extends Options> = {
  readonly [K in keyof O as O[K] extends Option<unknown, true> ? K : never]: O[K] extends Option<infer T> ? T : never;
} & {
  readonly [K in keyof O as O[K] extends Option<unknown, true> ? never : K]?: O[K] extends Option<infer T> ? T : never;
};

type OperandsOf<P extends Operands> = { readonly [K in keyof P]: P[K] extends Operand<infer T> ? T : never };

/** What a command is. Without operands and options of its own it needs a summary, examples, exit codes and `execute`. */
interface CommandOf<O extends Options, P extends Operands> {
  readonly summary: string;
  readonly options?: O;
  readonly operands?: P;
  /** What follows the command's name in help, where the options alone would say too little. */
  readonly usage?: string;
  /** Paragraphs between the options and the examples. */
  readonly notes?: string;
  /** One call each; a long one over several lines. */
  readonly examples: readonly string[];
  readonly exitCodes: Readonly<Record<string, string>>;
  /** Everything after the first operand belongs to it, options too. */
  readonly stopsAtOperand?: boolean;
  /** Not for users: neither in help nor in completion, and free to change. */
  readonly hidden?: boolean;
  /** Returns the exit code. */
  execute(values: ValuesOf<O> & OperandsOf<P>, commands: LoadCommands): number | Promise<number>;
}

export type Command = CommandOf<Options, Operands>;

/** Loads every command, in the order of the help. */
export type LoadCommands = () => Promise<ReadonlyMap<string, Command>>;

export function defineCommand<O extends Options = Record<never, never>, P extends Operands = Record<never, never>>(
  command: CommandOf<O, P>,
): Command {
  // The parser makes the values from the same options, so they have the types that `execute` expects.
  return command as unknown as Command;
}

export function flag(description: string, short?: string): Option<boolean, true> {
  const named = short === undefined ? {} : { short };
  return { form: "flag", description, ...named, always: true, absent: () => false, read: () => true };
}

/** `--no-NAME`: true unless given. */
export function negatedFlag(description: string): Option<boolean, true> {
  return { form: "negated", description, always: true, absent: () => true, read: () => false };
}

/** `--NAME` and `--no-NAME`; no value unless one of them is given. */
export function eitherFlag(description: string, negatedDescription: string): Option<boolean, false> {
  const read = (given: string) => !given.startsWith("--no-");
  return { form: "either", description, negatedDescription, always: false, absent: () => undefined, read };
}

type Read<T> = (flag: string, text: string) => T;

/** An option that is never suggested to somebody who mistyped another one: what it does cannot be undone. */
export function neverSuggested<O extends Option>(option: O): O {
  return { ...option, isFinal: true };
}

/** A text, or what `read` makes of it. */
export function value(placeholder: string, description: string): Option<string, false>;
export function value<T>(placeholder: string, description: string, read: Read<T>): Option<T, false>;
export function value<T>(placeholder: string, description: string, read?: Read<T>): Option<T | string, false> {
  return {
    form: "value",
    placeholder,
    description,
    always: false,
    absent: () => undefined,
    read: (given, text) => (read === undefined ? (text ?? "") : read(given, text ?? "")),
  };
}

/** The same, with a text that counts where the option is not given. */
export function valueOr<T>(
  placeholder: string,
  description: string,
  defaultText: string,
  read: Read<T>,
): Option<T, true> {
  return { ...value(placeholder, description, read), defaultText, always: true, absent: () => read("", defaultText) };
}

export function repeatedValue(
  placeholder: string,
  description: string,
  read: Read<string> = (_, text) => text,
): Option<readonly string[], false> {
  return {
    ...value(placeholder, description, () => []),
    read: (given, text, before = []) => [...before, read(given, text ?? "")],
  };
}

/** A list in one text, separated by commas; given again it goes on. */
export function listValue(placeholder: string, description: string): Option<string, false> {
  return {
    ...value(placeholder, description),
    read: (_, text, before) => (before === undefined ? (text ?? "") : `${before},${text ?? ""}`),
  };
}

/** `--NAME` alone means `bare`; `--NAME=VALUE` and `--NAME VALUE` mean the value. */
export function optionalValue<T>(
  placeholder: string,
  description: string,
  bare: T,
  read: Read<T>,
  mayBeValue: (text: string) => boolean,
): Option<T, false> {
  return {
    form: "optional value",
    mayBeValue,
    placeholder,
    description,
    always: false,
    absent: () => undefined,
    read: (given, text) => (text === null ? bare : read(given, text)),
  };
}

/** The same, one or several of these words separated by commas. */
export function offering<O extends Option>(listOf: readonly string[], option: O): O {
  return { ...option, listOf };
}

export function choice<const C extends readonly string[]>(
  placeholder: string,
  description: string,
  choices: C,
): Option<C[number], false> {
  return { ...value(placeholder, description, (given, text) => requireChoice(given, text, choices)), choices };
}

export function choiceOr<const C extends readonly string[]>(
  placeholder: string,
  description: string,
  choices: C,
  defaultText: C[number],
): Option<C[number], true> {
  return { ...choice(placeholder, description, choices), defaultText, always: true, absent: () => defaultText };
}

export function operand(description: string): Operand<string> {
  return { form: "one", description };
}

export function operandOf<const C extends readonly string[]>(description: string, choices: C): Operand<C[number]> {
  return { form: "one", description, choices };
}

export function optionalOperand(description: string): Operand<string | undefined> {
  return { form: "optional", description };
}

export function restOperand(description: string): Operand<readonly string[]> {
  return { form: "rest", description };
}

/** A command and its arguments, where others may stand before `--`. */
export function operandAfterDashes(description: string): Operand<readonly string[]> {
  return { form: "after --", description };
}

/** Throws a UsageError that names what was given and what may be. */
export function requireChoice<C extends string>(what: string, text: string, choices: readonly C[]): C {
  const chosen = choices.find((each) => each === text);
  if (chosen !== undefined) return chosen;
  throw new UsageError(`${what} ${JSON.stringify(text)} is not a choice`, { hint: `one of ${choices.join(", ")}` });
}
