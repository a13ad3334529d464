import { CommanderError } from "commander";
import { exitCodes, messageOf, TrainlockError } from "../model/errors.ts";
import { errnoOf } from "../system/libc/errno.ts";
import { restartUnderMemoryLimit } from "../system/processes/memory-limit.ts";
import { say } from "./output.ts";
import { makeProgram } from "./program.ts";
import { printable } from "./show/printable.ts";

/** Set by the build. */
declare const TRAINLOCK_VERSION: string;

async function main(): Promise<number> {
  let exitCode: number = exitCodes.ok;
  try {
    restartUnderMemoryLimit();
    const program = await makeProgram(TRAINLOCK_VERSION, process.argv[2], (code) => {
      exitCode = code;
    });
    await program.parseAsync();
  } catch (error) {
    return exitCodeFor(error);
  }
  return exitCode;
}

/** The one place that turns an error into a message and an exit code. */
function exitCodeFor(error: unknown): number {
  // Help and version come this way too, with exit code 0; commander has written its message already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (error instanceof TrainlockError) {
    say(`trainlock: ${printable(error.message)}`);
    if (error.hint !== undefined) say(`  ${printable(error.hint)}`);
    return error.exitCode;
  }
  if (errnoOf(error) !== undefined) {
    say(`trainlock: ${printable(messageOf(error))}`);
    return exitCodes.environment;
  }
  say(`trainlock: defect: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
  return exitCodes.environment;
}

// Not awaited at the top level: the executable's bytecode knows no top-level await.
void main().then((exitCode) => process.exit(exitCode));
