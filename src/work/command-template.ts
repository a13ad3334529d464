import { UsageError } from "../model/errors.ts";
import { nearest } from "../model/nearest.ts";
import { fixedFields } from "../site/template.ts";

/** What a row puts in the place of braces. Null: it has no such value. */
export interface RowValues {
  /** By field, as texts. */
  readonly fields: ReadonlyMap<string, string | null>;
  readonly weightsDir: string;
  readonly name: string;
  /** What the training can resume from. */
  readonly checkpoint: string | null;
}

/** Values of these characters alone mean the same inside a longer word, whatever reads that word later. */
const plain = /^[A-Za-z0-9_.+\-=,:@%/]*$/;
/** `${…}` is the shell's own. */
const braces = /(\$?)\{(-{0,2}[A-Za-z_][A-Za-z0-9_-]*)\}/g;
/**
 * These hand their arguments to a shell, joined to one line of code, here or on another host: `env ssh`, `sh -c 'eval "$@"'`, too.
 */
const joiners = new Set([
  "ssh",
  "rsh",
  "mosh",
  "autossh",
  "pdsh",
  "clush",
  "eval",
  "watch",
  "parallel",
  "bsub",
  "tmux",
  "screen",
  "xterm",
]);
/** These have code among their arguments: `awk '{…}'`, `sed s/a/b/e`, `make 'X=$(shell …)'`. */
const interpreters = new Set(["awk", "gawk", "mawk", "nawk", "sed", "gsed", "make", "gmake", "hyperfine", "entr"]);
/**
 * What follows these is code for a shell or an interpreter: `sh -c`, `bash -ec`, `sh -ce`, `perl -ne`, `env -S`, `sbatch --wrap`.
 */
const codeOption =
  /^(?:-[A-Za-z]{0,3}(?:c[A-Za-z]{0,2}|[eES])|--(?:eval|exec|execute|command|wrap|run|print|split-string))$/;

/**
 * A command with `{strategy}`, `{--ratio}` and so on in it. The value of a row becomes an argument of its own. It becomes
 * part of an argument only if no shell could read any of its characters as code. So no value of a grid is ever run as code.
 */
export class CommandTemplate {
  readonly argv: readonly string[];
  /** Of each argument, whether a shell or an interpreter reads it. */
  readonly #isCode: readonly boolean[];
  readonly #names: readonly string[];
  readonly #fields: readonly string[];

  /** `fields`: those of the site's rows. Throws a UsageError for braces that are one letter off a name. */
  constructor(argv: readonly string[], fields: readonly string[]) {
    this.argv = argv;
    this.#isCode = argv.map((_, index) => isReadAsCode(argv.slice(0, index)));
    this.#fields = [...new Set([...fixedFields, "seed", ...fields])];
    this.#names = [
      ...this.#fields,
      "weights_dir",
      "name",
      "checkpoint",
      ...[...this.#fields, "resume"].map((field) => `--${optionName(field)}`),
    ];
    for (const argument of argv) this.#refuseMisspelt(argument);
  }

  #refuseMisspelt(argument: string): void {
    for (const [, dollar, name = ""] of argument.matchAll(braces)) {
      if (dollar === "$" || this.#names.includes(name)) continue;
      const near = nearest(name, this.#names);
      if (near === null || !isOneLetterOff(name, near)) continue;
      throw new UsageError(`{${name}} in the command is no field`, { hint: `did you mean {${near}}?` });
    }
  }

  /** The command for one row. Throws a UsageError that names the row where a value may not stand where it is asked for. */
  expand(row: RowValues): string[] {
    return this.argv.flatMap((argument, index) => {
      const isCode = this.#isCode[index] === true;
      const whole = placeholderIn(argument);
      if (whole !== null && !isCode) return this.#argumentsOf(whole, row) ?? argument;
      return argument.replaceAll(braces, (text, dollar: string, name: string) => {
        const values = dollar === "$" ? null : this.#argumentsOf(name, row);
        if (values === null) return text;
        requirePlain(name, row, values, isCode);
        // As an option it would be read by who reads the code, and the next argument be the code: `ssh -oProxyCommand=…`.
        if (isCode && whole !== null) requireNoOption(name, row, values.at(-1) ?? "");
        return values.join(" ");
      });
    });
  }

  /** What stands for a name: one argument, two or none for an option. Null: it is no name of ours. */
  #argumentsOf(name: string, row: RowValues): string[] | null {
    if (!this.#names.includes(name)) return null;
    if (!name.startsWith("--")) return [this.#valueOf(name, row) ?? ""];
    const field = name === "--resume" ? "checkpoint" : this.#fields.find((each) => `--${optionName(each)}` === name);
    const value = this.#valueOf(field ?? "", row);
    return value === null ? [] : [name, value];
  }

  #valueOf(name: string, row: RowValues): string | null {
    if (name === "weights_dir") return row.weightsDir;
    if (name === "name") return row.name;
    if (name === "checkpoint") return row.checkpoint;
    return row.fields.get(name) ?? null;
  }
}

function optionName(field: string): string {
  return field.replaceAll("_", "-");
}

function baseName(program: string): string {
  return program.slice(program.lastIndexOf("/") + 1);
}

/** Whether the argument after these is code for a shell: other options may stand between `-c` and it. */
function isReadAsCode(before: readonly string[]): boolean {
  const words = before.flatMap((argument) => argument.split(/[\s;|&()`"']+/));
  if (words.some((word) => joiners.has(baseName(word)))) return true;
  if (before.some((argument) => interpreters.has(baseName(argument)))) return true;
  const isOption = (argument: string, at: number) =>
    /^[-+]/.test(argument) ||
    /^[-+]\w*[oO]$/.test(before[at - 1] ?? "") ||
    // The row may have an option there, or nothing.
    placeholderIn(argument) !== null;
  const options = before.slice(before.findLastIndex((argument, at) => !isOption(argument, at)) + 1);
  return options.some((option) => codeOption.test(option));
}

/** The name of a placeholder that is a whole argument; null: it is none. */
function placeholderIn(argument: string): string | null {
  const [whole] = argument.matchAll(braces);
  return whole?.[0] === argument && whole[1] === "" ? (whole[2] ?? null) : null;
}

function requirePlain(name: string, row: RowValues, values: readonly string[], isCode: boolean): void {
  const odd = values.find((value) => !plain.test(value));
  if (odd === undefined) return;
  if (isCode) refuse(name, row, odd, "which may not stand where the command has code");
  const way = `, or make {${name}} an argument of its own`;
  refuse(name, row, odd, "which may not stand inside a longer argument of the command", way);
}

function requireNoOption(name: string, row: RowValues, value: string): void {
  if (value.startsWith("-")) refuse(name, row, value, "which would be an option where the command has code");
}

function refuse(name: string, row: RowValues, value: string, why: string, otherWay = ""): never {
  const variable = name === "--resume" ? "checkpoint" : name.replace(/^--/, "").replaceAll("-", "_");
  throw new UsageError(`${row.name}: {${name}} is ${JSON.stringify(value)}, ${why}`, {
    hint: `let the command read the environment (TRAINLOCK_${variable.toUpperCase()})${otherWay}`,
  });
}

function isOneLetterOff(given: string, word: string): boolean {
  if (Math.abs(given.length - word.length) > 1) return false;
  const shorter = given.length < word.length ? given : word;
  const longer = given.length < word.length ? word : given;
  let same = 0;
  while (same < shorter.length && shorter[same] === longer[same]) same += 1;
  const rest = (text: string, from: number) => text.slice(from);
  if (shorter.length < longer.length) return rest(shorter, same) === rest(longer, same + 1);
  const swapped = shorter[same] === longer[same + 1] && shorter[same + 1] === longer[same];
  return (
    rest(shorter, same + 1) === rest(longer, same + 1) ||
    (swapped && rest(shorter, same + 2) === rest(longer, same + 2))
  );
}
