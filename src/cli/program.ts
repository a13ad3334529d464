import { Command } from "commander";
import { addCheckCommand } from "./commands/check.ts";
import { addClearCommand } from "./commands/clear.ts";
import { addCompletionCommand } from "./commands/completion.ts";
import { addConfigCommand } from "./commands/config.ts";
import { addInitCommand } from "./commands/init.ts";
import { addListCommand } from "./commands/list.ts";
import { addRunCommand } from "./commands/run.ts";
import { helpEnd } from "./help.ts";

/** The whole command line. Each command reports its exit code to `done`. */
export function makeProgram(version: string, done: (exitCode: number) => void): Command {
  const program = new Command("trainlock")
    .description("Train every configuration once: locks for training jobs on a shared folder.")
    .version(version, "--version", "print the version")
    .helpOption("--help", "show help")
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "trainlock: ")) })
    .configureHelp({ showGlobalOptions: false });
  for (const add of [
    addRunCommand,
    addCheckCommand,
    addListCommand,
    addClearCommand,
    addInitCommand,
    addConfigCommand,
    addCompletionCommand,
  ])
    add(program, done);
  for (const command of program.commands) command.helpOption("--help", "show help").copyInheritedSettings(program);
  program.addHelpText(
    "after",
    helpEnd(
      [
        "trainlock run --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50 -- python train.py",
        "trainlock list",
        "trainlock clear --no-dry-run",
        "trainlock COMMAND --help",
      ],
      {
        0: "done",
        1: "check: locked",
        2: "the call is wrong",
        3: "the environment is wrong",
        other: "see COMMAND --help",
      },
    ),
  );
  return program;
}
