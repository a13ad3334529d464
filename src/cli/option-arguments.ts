import { shellWord } from "../model/shell-word.ts";
import type { Option, Options } from "./command.ts";
import { flagOf } from "./parse-call.ts";

/** Values that were read as milliseconds. */
const durations: ReadonlySet<string> = new Set(["killAfter", "checkEvery", "sshTimeout", "verifyTimeout"]);

/** The arguments that give a call of ours the values that these options have here. */
export function optionArguments(options: Options, values: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(options).flatMap(([key, option]) => {
    const value = values[key];
    return value === undefined ? [] : argumentsOf(key, option, value);
  });
}

/** The same as text for a shell, each after a blank: ` --strategy 'a,b c'`. */
export function shellOptions(options: Options, values: Readonly<Record<string, unknown>>): string {
  const written = (argument: string) => {
    const [, flag = argument, text] = /^(--[^=]+)=(.*)$/s.exec(argument) ?? [];
    return text === undefined ? ` ${flag}` : ` ${flag} ${shellWord(text)}`;
  };
  return optionArguments(options, values).map(written).join("");
}

function argumentsOf(key: string, { form }: Option, value: unknown): string[] {
  const flag = flagOf(key);
  const negated = flag.replace("--", "--no-");
  if (form === "flag") return value === true ? [flag] : [];
  if (form === "negated") return value === false ? [negated] : [];
  if (form === "either") return [value === true ? flag : negated];
  if (durations.has(key)) return [`${flag}=${Number(value) / 1000}s`];
  if (key === "hosts" && Array.isArray(value)) return [`${flag}=${value.join(",")}`];
  return (Array.isArray(value) ? value : [value]).map((each) => `${flag}=${String(each)}`);
}
