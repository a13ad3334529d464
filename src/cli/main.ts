import { exitCodes, messageOf, TrainlockError, UsageError } from "../model/errors.ts";
import { printable } from "../model/printable.ts";
import { declareOwnProcess } from "../system/files/final-mode.ts";
import { errnoOf, unexpectedSystemError } from "../system/libc/errno.ts";
import { endProcess } from "../system/processes/end-process.ts";
import { restartUnderMemoryLimit } from "../system/processes/memory-limit.ts";
import type { Command } from "./command.ts";
import { commandNames, loadCommand, loadCommands } from "./commands.ts";
import { hasResult, isTerminal, print, printJson, say } from "./output.ts";
import { nearestHint, parseCall, splitBeforeCommand } from "./parse-call.ts";
import { wrapped } from "./show/wrapped.ts";
import { versionLine } from "./version.ts";

/** Returns the exit code of a call. */
async function main(argv: readonly string[]): Promise<number> {
  let command: Command | null = null;
  try {
    restartUnderMemoryLimit();
    const [name, ...args] = argv[0]?.startsWith("--") ? await commandFirst(argv) : argv;
    if (name === undefined) {
      say((await programHelp("-h")).trimEnd());
      return exitCodes.usage;
    }
    if (name.startsWith("-")) return await programOption(name);
    command = await loadCommand(name);
    if (command === null) throw await unknownCommand(name);
    const values = parseCall(name, command, args);
    if (typeof values === "string") {
      // Loaded here, as below: no other call should pay for it.
      const { briefCommandHelp, commandHelp } = await import("./help.ts");
      print((values === "brief" ? briefCommandHelp : commandHelp)(name, command));
      return exitCodes.ok;
    }
    if (values.debug === true) (await import("./show/question-text.ts")).showQuestions();
    return await command.execute(values, loadCommands);
  } catch (error) {
    return exitCodeFor(error, wantsJson(argv, command));
  }
}

/** Options that all commands have may stand before the command: `trainlock --root DIR list`. */
async function commandFirst(argv: readonly string[]): Promise<readonly string[]> {
  const { siteOptions, jsonOption } = await import("./site-options.ts");
  const [before, [name, ...after]] = splitBeforeCommand({ ...siteOptions, ...jsonOption }, argv);
  return name === undefined || name.startsWith("-") ? argv : [name, ...before, ...after];
}

async function programOption(given: string): Promise<number> {
  if (given === "--version" || given === "-V") print(versionText());
  else if (given === "--help" || given === "-h") print(await programHelp(given));
  else {
    const hint = nearestHint(given, ["--version", "--help"], "options follow a command, such as trainlock list --json");
    throw new UsageError(`unknown option ${given}`, { hint });
  }
  return exitCodes.ok;
}

function versionText(): string {
  const { bun, node } = process.versions;
  const runtime = bun === undefined ? `Node ${node}` : `Bun ${bun}`;
  return `${versionLine()}\n${runtime}, ${process.platform}-${process.arch}\n`;
}

async function programHelp(given: "-h" | "--help"): Promise<string> {
  const { briefProgramHelp, programHelp } = await import("./help.ts");
  return (given === "-h" ? briefProgramHelp : programHelp)(await loadCommands());
}

async function unknownCommand(name: string): Promise<UsageError> {
  const { helpPages } = await import("./commands/help-pages.ts");
  const page = name.replace(/\.md$/, "");
  const hint =
    name === "version"
      ? "did you mean trainlock --version?"
      : Object.hasOwn(helpPages, page)
        ? `did you mean trainlock help ${name}?`
        : nearestHint(name, commandNames(), "see trainlock --help");
  return new UsageError(`unknown command ${JSON.stringify(name)}`, { hint });
}

/** The one place that turns an error into a message and an exit code. */
function exitCodeFor(thrown: unknown, asJson: boolean): number {
  const error = unexpectedSystemError(thrown) ?? thrown;
  if (asJson && !hasResult()) printJson(errorJson(error));
  if (error instanceof TrainlockError) {
    sayLine(`trainlock: ${printable(error.message)}`);
    if (error.hint !== undefined) sayLine(`  ${printable(error.hint)}`);
    return error.exitCode;
  }
  if (errnoOf(error) !== undefined) {
    sayLine(`trainlock: ${printable(messageOf(error))}`);
    return exitCodes.environment;
  }
  say(`trainlock: defect: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return exitCodes.environment;
}

/** A terminal would break it within a word. */
function sayLine(line: string): void {
  say(wrapped(line, isTerminal(2) ? process.stderr.columns || 80 : null));
}

/** What follows `--` is another program's, and a command without the option takes the words of another program as they are. */
function wantsJson(argv: readonly string[], command: Command | null): boolean {
  const dashes = argv.indexOf("--");
  const own = argv.slice(0, dashes < 0 ? argv.length : dashes);
  return own.includes("--json") && (command === null || Object.hasOwn(command.options ?? {}, "json"));
}

/** For programs: the same as the text on standard error. */
function errorJson(error: unknown) {
  const known = error instanceof TrainlockError;
  const code = known ? error.code : (errnoOf(error) ?? "ERR_DEFECT");
  const exitCode = known ? error.exitCode : exitCodes.environment;
  return { error: { code, message: messageOf(error), hint: known ? (error.hint ?? null) : null, exitCode } };
}

// Not awaited at the top level: the executable's bytecode knows no top-level await.
declareOwnProcess();
void main(process.argv.slice(2)).then(endProcess);
