import { once } from "node:events";
import { closeSync, createReadStream } from "node:fs";
import { UsageError } from "../../model/errors.ts";
import { parseInheritance } from "../../stores/inheritance.ts";
import { errnoOf } from "../../system/libc/errno.ts";
import { defineCommand, restOperand, value } from "../command.ts";
import { run } from "./run.ts";
import { runOptions } from "./run-options.ts";

/** The wrapper of a training that a program of the library has started: `run`, which may inherit the program's lock. */
export const command = defineCommand({
  hidden: true,
  summary: "run a command for a program of the library",
  options: { ...runOptions, inherits: value("<descriptors>", "the gate, then the program's locks") },
  operands: { command: restOperand("the command and its arguments, after --") },
  stopsAtOperand: true,
  examples: [],
  exitCodes: { other: "as run" },
  async execute({ command: argv, inherits, ...given }) {
    if (inherits === undefined) return run(argv, given);
    const inheritance = parseInheritance(inherits);
    if (inheritance === null)
      throw new UsageError(`--inherits ${JSON.stringify(inherits)} are not descriptors`, {
        hint: "only the library calls this",
      });
    await openedGate(inheritance.gate);
    return run(argv, given, undefined, inheritance.locks[0]);
  },
});

/** Also when the program was killed: then the lock is judged like any that was left behind. */
async function openedGate(fd: number): Promise<void> {
  try {
    const stream = createReadStream("", { fd, autoClose: false });
    stream.resume();
    await once(stream, "end");
    closeSync(fd);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
