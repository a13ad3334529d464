import { UsageError } from "../model/errors.ts";
import { nearest } from "../model/nearest.ts";
import { shellWord } from "../model/shell-word.ts";
import { type Command, type Operand, type Option, type Options, requireChoice } from "./command.ts";

// A parser of our own: of the libraries, the lightest costs a fifth of a whole start, and node:util's parseArgs as much.

type Values = Record<string, unknown>;

interface Flag {
  readonly key: string;
  readonly option: Option;
}

/** How much help is wanted: what fits on a screen, or everything. */
type Help = "brief" | "whole";

/** The values of a call's options and operands, or that help is wanted. Throws a UsageError for a wrong call. */
export function parseCall(name: string, command: Command, args: readonly string[]): Values | Help {
  const { values, operands, dashesAt, help } = readOptions(name, command, args);
  if (help !== null) return help;
  for (const [key, option] of Object.entries(command.options ?? {})) {
    const absent = option.always && !Object.hasOwn(values, key);
    if (absent) values[key] = option.absent();
  }
  return { ...values, ...readOperands(name, command, operands, dashesAt) };
}

/** The options that stand before the command's name, and the rest: `--root DIR list` is `["--root", "DIR"]` and `["list"]`. */
export function splitBeforeCommand(options: Options, args: readonly string[]): readonly [string[], string[]] {
  const flags = flagTable({ options });
  let at = 0;
  while (at < args.length && args[at]?.startsWith("--") && args[at] !== "--") {
    const { given, inline } = splitOption(args[at] ?? "");
    const flag = flags.get(given);
    if (flag === undefined) break;
    at += textOf(given, flag.option, inline, args[at + 1]).fromNext ? 2 : 1;
  }
  return [args.slice(0, at), args.slice(at)];
}

/** `--weights-dir` for `weightsDir`. */
export function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

/** Every way to give an option that is described, with its description. */
export function flagsOf(
  key: string,
  option: Option,
): readonly { readonly flag: string; readonly description: string }[] {
  const { form, description, negatedDescription } = option;
  const negated = flagOf(key).replace("--", "--no-");
  if (form === "negated") return [{ flag: negated, description }];
  const own = { flag: flagOf(key), description };
  return form === "either" ? [own, { flag: negated, description: negatedDescription ?? "" }] : [own];
}

function readOptions(name: string, command: Command, args: readonly string[]) {
  const flags = flagTable(command);
  const values: Values = {};
  const operands: string[] = [];
  const call = (help: Help | null) => ({ values, operands, dashesAt: operands.length, help });
  for (let at = 0; at < args.length; at += 1) {
    const arg = args[at] ?? "";
    if (arg === "--") return { ...call(null), operands: [...operands, ...args.slice(at + 1)] };
    if (arg === "-" || !arg.startsWith("-")) {
      if (command.stopsAtOperand) return { ...call(null), operands: args.slice(at) };
      operands.push(arg);
      continue;
    }
    const { given, inline } = splitOption(arg);
    for (const each of arg.startsWith("--") ? [given] : shortFlags(arg)) {
      if (each === "--help" || each === "-h") return call(each === "-h" ? "brief" : "whole");
      const flag = flags.get(each);
      if (flag === undefined) throw unknownOption(name, each, flags, arg);
      const takes = textOf(each, flag.option, inline, args[at + 1]);
      if (takes.fromNext) at += 1;
      values[flag.key] = flag.option.read(each, takes.text, values[flag.key]);
    }
  }
  return call(null);
}

function flagTable({ options = {} }: Pick<Command, "options">): Map<string, Flag> {
  const table = new Map<string, Flag>();
  for (const [key, option] of Object.entries(options)) {
    for (const { flag } of flagsOf(key, option)) table.set(flag, { key, option });
    if (option.short !== undefined) table.set(`-${option.short}`, { key, option });
  }
  return table;
}

function splitOption(arg: string): { readonly given: string; readonly inline: string | null } {
  const equals = arg.startsWith("--") ? arg.indexOf("=") : -1;
  return equals === -1 ? { given: arg, inline: null } : { given: arg.slice(0, equals), inline: arg.slice(equals + 1) };
}

/** `-vh` is `-v -h`. */
function shortFlags(arg: string): string[] {
  return [...arg.slice(1)].map((letter) => `-${letter}`);
}

function textOf(given: string, option: Option, inline: string | null, next: string | undefined) {
  const { form, placeholder } = option;
  if (form === "value") {
    if (inline !== null) return { text: inline, fromNext: false };
    // The next option is not a value that somebody forgot; `--name=--value` can still be said.
    if (next !== undefined && (option.takesOptions === true || !next.startsWith("--")))
      return { text: next, fromNext: true };
    throw new UsageError(`${given} has no value`, { hint: `give ${given} ${placeholder}` });
  }
  if (form === "optional value") {
    if (inline !== null) return { text: inline, fromNext: false };
    const isValue = next !== undefined && !next.startsWith("-") && option.mayBeValue?.(next) !== false;
    return isValue ? { text: next, fromNext: true } : { text: null, fromNext: false };
  }
  if (inline !== null)
    throw new UsageError(`${given} takes no value, but has ${JSON.stringify(inline)}`, { hint: `give ${given} alone` });
  return { text: null, fromNext: false };
}

/** `arg`: the whole of it. `-strategy` is not meant as eight options. */
function unknownOption(name: string, given: string, flags: ReadonlyMap<string, Flag>, arg: string): UsageError {
  // A letter is near to any other letter.
  const words = [...flags].flatMap(([flag, { option }]) =>
    flag.startsWith("--") && mayBeMeant(flag, option) ? [flag] : [],
  );
  const long = `-${arg.split("=")[0]}`;
  if (given !== arg && /^--[a-z]{2}/.test(long)) {
    const near = nearest(long, [...words, "--help"]);
    if (near !== null) return new UsageError(`unknown option ${long.slice(1)}`, { hint: `did you mean ${near}?` });
  }
  return new UsageError(`unknown option ${given}`, {
    hint: nearestHint(given, [...words, "--help"], `see trainlock ${name} --help`),
  });
}

/** Of an option with two ways to be given, `--no-NAME` is the one that changes something. */
function mayBeMeant(flag: string, { isFinal, form }: Option): boolean {
  return isFinal !== true || (form === "either" && !flag.startsWith("--no-"));
}

/** `did you mean --strategy?`, or `otherwise` where no word is near. */
export function nearestHint(given: string, words: readonly string[], otherwise: string): string {
  const near = nearest(given, words);
  return near === null ? otherwise : `did you mean ${near}?`;
}

/** `dashesAt`: how many of those given stand before `--`. */
function readOperands(
  name: string,
  { operands = {}, options = {}, examples }: Command,
  given: readonly string[],
  dashesAt: number,
): Values {
  const values: Values = {};
  const end = Object.values(operands).some(({ form }) => form === "after --") ? dashesAt : given.length;
  let at = 0;
  for (const [key, operand] of Object.entries(operands)) {
    if (operand.form === "after --" && at < end) break;
    const isRest = operand.form === "rest" || operand.form === "after --";
    const texts = isRest ? given.slice(at) : given.slice(at, Math.min(at + 1, end));
    at += texts.length;
    if (texts.length === 0 && operand.form === "optional") continue;
    if (texts.length === 0 && operand.missing !== undefined) {
      values[key] = operand.missing;
      continue;
    }
    if (texts.length === 0) throw new UsageError(`no ${key} is given`, { hint: missingHint(key, operand, examples) });
    values[key] = isRest ? texts : readOperand(key, operand, texts[0] ?? "");
  }
  const extra = given[at];
  if (extra === undefined) return values;
  const takesCommand = dashesAt === given.length && Object.values(operands).some(({ form }) => form === "after --");
  // As `why` takes it, and lists show it.
  const isName = Object.hasOwn(options, "name") && /^[^/]+\/[^/]+\/[^/]+$/.test(extra);
  const hint = isName
    ? `a configuration is given as --name ${shellWord(extra)}`
    : takesCommand
      ? "give the command after --"
      : `see trainlock ${name} --help`;
  throw new UsageError(`${name} does not take the argument ${JSON.stringify(extra)}`, { hint });
}

function missingHint(key: string, { form, description }: Operand, examples: readonly string[]): string {
  const example = examples.find((call) => call.includes(" -- "))?.replaceAll(/\s*\\\n\s*/g, " ");
  return form === "after --" && example !== undefined
    ? `give it after --, for example: ${example}`
    : `${key}: ${description}`;
}

function readOperand(key: string, { choices }: Operand, text: string): string {
  return choices === undefined ? text : requireChoice(key, text, choices);
}
