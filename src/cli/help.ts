import { type Command, type Operand, type Option, optionGroups } from "./command.ts";
import { helpPages } from "./commands/help-pages.ts";
import { flagsOf } from "./parse-call.ts";
import { fill } from "./show/wrapped.ts";

// Long lines are hard to read, so help does not use the whole of a wide terminal.
const widestColumns = 80;
const narrowestColumns = 40;

/** What `trainlock NAME --help` prints. */
export function commandHelp(name: string, command: Command): string {
  const { usage, summary, operands = {}, options = {}, notes, examples, exitCodes } = command;
  const groups = optionGroups.map((group) => {
    const own = Object.entries(options).filter(([, option]) => (option.group ?? "Options") === group);
    return [group, [...own.flatMap(optionRows), ...(group === "Common options" ? [helpRow] : [])]] as const;
  });
  const terms = [...groups.flatMap(([, described]) => described.map(([term]) => term)), ...Object.keys(operands)];
  const widest = Math.max(...terms.map((term) => term.length));
  const given = Object.entries(operands).map(([key, each]) => [key, describe(each)] as const);
  return [
    `Usage: trainlock ${name} ${usage ?? usageOf(command)}`,
    wrap(summary, columns()).join("\n"),
    ...(given.length === 0 ? [] : [`Arguments:\n${rows(given, widest)}`]),
    ...groups.flatMap(([group, described]) =>
      described.length === 0 ? [] : [`${group}:\n${rows(described, widest)}`],
    ),
    ...(notes === undefined ? [] : [wrap(notes, columns()).join("\n")]),
    ...(Object.hasOwn(helpPages, name) ? [`More: trainlock help ${name}.md`] : []),
    helpEnd(examples, exitCodes),
  ].join("\n\n");
}

/** What `trainlock --help` prints. */
export function programHelp(commands: ReadonlyMap<string, Command>): string {
  const shown = [...commands].filter(([, { hidden }]) => hidden !== true);
  const named = shown.map(([name, { summary }]) => [name, summary] as const);
  const options = [["-V, --version", "print version, commit and runtime"], helpRow] as const;
  const widest = Math.max(...[...named, ...options].map(([term]) => term.length));
  return [
    "Usage: trainlock COMMAND [options]",
    "Train every configuration once: locks for training jobs on a shared folder.",
    `Commands:\n${rows(named, widest)}`,
    `Options:\n${rows(options, widest)}`,
    helpEnd(
      [
        "trainlock run --strategy baseline --dataset IDD-AW \\\n    --model deeplabv3plus_r50 -- python train.py",
        "trainlock list",
        "trainlock clear --no-dry-run",
        "trainlock help run",
        "trainlock help verdicts",
      ],
      {
        0: "done",
        1: "check: locked; held: not held; doctor: found faults",
        2: "the call is wrong",
        3: "the environment is wrong",
        other: "see trainlock COMMAND --help",
      },
    ),
  ].join("\n\n");
}

const helpRow = ["-h, --help", "show help: -h on one screen, --help all of it"] as const;

/** A terminal has 24 lines, and one of them is for the prompt. */
const screenLines = 23;

/** What `trainlock NAME -h` prints: the options that come first, as many as fit on a screen. */
export function briefCommandHelp(name: string, command: Command): string {
  const { usage, summary, options = {}, examples, exitCodes } = command;
  const own = Object.entries(options).filter(([, { group }]) => (group ?? "Options") === "Options");
  const isNamed = options.strategy?.group === "Configuration";
  const described = own.flatMap(briefRows);
  const widest = Math.max(0, ...described.map(([term]) => term.length));
  const codes = Object.entries(exitCodes).map(([code, text]) => `${code} ${clause(text, 40)}`);
  const codeLines = wrap(`Exit codes: ${codes.join("; ")}`, columns());
  const head = [
    `Usage: trainlock ${name} ${usage ?? usageOf(command)}`,
    clause(summary, columns()),
    "",
    ...(isNamed ? ["Configuration: --strategy S --dataset D --model M [--ratio R] …, or --name NAME"] : []),
    ...(examples[0] === undefined ? [] : [`Example: ${examples[0].replace(/ {2,}#.*/, "").replaceAll("\n", "\n  ")}`]),
    ...(codeLines.length > 3 ? [] : codeLines),
    "",
  ].flatMap((text) => text.split("\n"));
  const end = [...(described.length === 0 ? [] : [""]), `All options, examples and exit codes: trainlock help ${name}`];
  const shown: string[] = [];
  for (const [term, text] of described) {
    const row = rows([[term, clause(text, columns() - widest - 4)]], widest).split("\n");
    if (head.length + shown.length + row.length + end.length > screenLines) break;
    shown.push(...row);
  }
  return `${[...head, ...shown, ...end].join("\n")}\n`;
}

/** With what an option may be in place of what its value is called. */
function briefRows([key, option]: [string, Option]): (readonly [string, string])[] {
  const { choices, placeholder = "", ...rest } = option;
  const said = choices?.join("|") ?? "";
  const value = said === "" || said.length > 20 ? placeholder : said;
  return optionRows([key, { ...rest, placeholder: value }]);
}

/** What `trainlock -h` prints: every command on a line. */
export function briefProgramHelp(commands: ReadonlyMap<string, Command>): string {
  const shown = [...commands].filter(([, { hidden }]) => hidden !== true);
  const widest = Math.max(...shown.map(([name]) => name.length));
  const lines = shown.map(([name, { summary }]) => [name, clause(summary, columns() - widest - 4)] as const);
  return `Usage: trainlock COMMAND [options]\n${rows(lines, widest)}\n\nMore: trainlock COMMAND -h, trainlock help [COMMAND|PAGE]\n`;
}

/** What is shorter says too little: `of the configuration`. */
const shortestClause = 22;

/** The beginning of a text that fits a line, without the parts behind its last separators; whole where it has none. */
function clause(text: string, width: number): string {
  let short = text.split("\n")[0] ?? "";
  while (short.length > width) {
    const ends = [/; [^;]*$/, / \([^()]*\)$/, /: [^:]*$/, /, [^,]*$/].map((end) => short.replace(end, ""));
    const cut = ends.find((rest) => rest.length < short.length && rest.length >= shortestClause);
    if (cut === undefined) return text;
    short = cut.replace(/ \([^()]*$/, "");
  }
  return short;
}

function usageOf({ operands = {} }: Command): string {
  const brackets = {
    one: ["<", ">"],
    optional: ["[", "]"],
    rest: ["<", "...>"],
    "after --": ["-- <", "...>"],
  } as const;
  const named = Object.entries(operands).map(([key, { form }]) => `${brackets[form][0]}${key}${brackets[form][1]}`);
  return ["[options]", ...named].join(" ");
}

function optionRows([key, option]: [string, Option]): (readonly [string, string])[] {
  const { short, form, placeholder } = option;
  const value = form === "optional value" ? `[=${placeholder}]` : form === "value" ? ` ${placeholder}` : "";
  return flagsOf(key, option).map(({ flag, description }) => {
    const term = `${short === undefined ? "" : `-${short}, `}${flag}${value}`;
    return [term, describe({ ...option, description })];
  });
}

function describe({
  description,
  choices,
  defaultText,
}: Pick<Option, "description" | "choices" | "defaultText"> | (Operand & { defaultText?: never })): string {
  const facts = [
    ...(choices === undefined ? [] : [`choices: ${choices.join(", ")}`]),
    ...(defaultText === undefined ? [] : [`default: ${defaultText}`]),
  ];
  return facts.length === 0 ? description : `${description} (${facts.join("; ")})`;
}

function helpEnd(examples: readonly string[], exitCodes: Readonly<Record<string, string>>): string {
  const codes = rows(Object.entries(exitCodes), Math.max(6, ...Object.keys(exitCodes).map((code) => code.length)));
  const calls = examples.map((call) => `  ${call.replaceAll("\n", "\n  ")}`);
  return `Examples:\n${calls.join("\n")}\n\nExit codes:\n${codes}\n`;
}

/** Terms on the left, their descriptions beside them. */
function rows(described: readonly (readonly [string, string])[], widest: number): string {
  const indent = widest + 4;
  const lines = described.map(([term, text]) => {
    const [first = "", ...more] = wrap(text, columns() - indent);
    return [`  ${term.padEnd(widest)}  ${first}`, ...more.map((line) => " ".repeat(indent) + line)].join("\n");
  });
  return lines.join("\n");
}

/** The lines of a text, as wide as help is, each indented by so much. */
export function indented(text: string, indent: number): string {
  return wrap(text, columns() - indent)
    .map((line) => " ".repeat(indent) + line)
    .join("\n");
}

function wrap(text: string, width: number): string[] {
  return text.split("\n").flatMap((paragraph) => fill(paragraph, width));
}

function columns(): number {
  const terminal = process.stdout.columns || widestColumns;
  return Math.max(narrowestColumns, Math.min(terminal, widestColumns));
}
