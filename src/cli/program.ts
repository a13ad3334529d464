import { Command } from "commander";
import { helpEnd } from "./help.ts";

type AddCommand = (program: Command, done: (exitCode: number) => void) => void;

/** In the order of the help. Each loads its own code when it is wanted: a job waits for no other's. */
const commands: Readonly<Record<string, () => Promise<AddCommand>>> = {
  run: async () => (await import("./commands/run.ts")).addRunCommand,
  check: async () => (await import("./commands/check.ts")).addCheckCommand,
  held: async () => (await import("./commands/held.ts")).addHeldCommand,
  list: async () => (await import("./commands/list.ts")).addListCommand,
  clear: async () => (await import("./commands/clear.ts")).addClearCommand,
  plan: async () => (await import("./commands/plan.ts")).addPlanCommand,
  init: async () => (await import("./commands/init.ts")).addInitCommand,
  config: async () => (await import("./commands/config.ts")).addConfigCommand,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
  __probe: async () => (await import("./commands/probe.ts")).addProbeCommand,
  __guard: async () => (await import("./commands/guard.ts")).addGuardCommand,
  __keeper: async () => (await import("./commands/keeper.ts")).addKeeperCommand,
  completion: async () => (await import("./commands/completion.ts")).addCompletionCommand,
};
const helpWidthColumns = 80;
/** Describes all the other commands, so it needs them all. */
const completionName = "completion";

/**
 * The command line for a call whose first word is `called`: with that command alone, or with all of them where it is none.
 * Each command reports its exit code to `done`.
 */
export async function makeProgram(
  version: string,
  called: string | undefined,
  done: (exitCode: number) => void,
): Promise<Command> {
  const program = new Command("trainlock")
    .description("Train every configuration once: locks for training jobs on a shared folder.")
    .version(version, "--version", "print the version")
    .helpOption("-h, --help", "show help")
    .helpCommand(false)
    .enablePositionalOptions()
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, "trainlock: ")),
      // Long lines are hard to read, so help does not use the whole of a wide terminal.
      getOutHelpWidth: () => Math.min(process.stdout.columns ?? helpWidthColumns, helpWidthColumns),
      getErrHelpWidth: () => Math.min(process.stderr.columns ?? helpWidthColumns, helpWidthColumns),
    })
    .configureHelp({ showGlobalOptions: false });
  const alone = called !== undefined && called !== completionName && Object.hasOwn(commands, called);
  const wanted = Object.entries(commands).filter(([name]) => (alone ? name === called : called !== "--version"));
  for (const [, load] of wanted) (await load())(program, done);
  for (const command of program.commands) command.helpOption("-h, --help", "show help").copyInheritedSettings(program);
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
        1: "check: locked; held: not held",
        2: "the call is wrong",
        3: "the environment is wrong",
        other: "see COMMAND --help",
      },
    ),
  );
  return program;
}
