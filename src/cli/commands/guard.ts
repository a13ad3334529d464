import type { Command } from "commander";
import { exitCodes } from "../../model/errors.ts";
import { guardCommandName } from "../../run/guard-process.ts";
import { guardIgnores, guardTree } from "../../run/guard-tree.ts";

/** The process that ends a command when its wrapper is killed. Not for users: hidden, and free to change. */
export function addGuardCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command(guardCommandName, { hidden: true })
    .argument("<kill-after-ms>")
    .action(async (killAfterMs: string) => {
      for (const signal of guardIgnores) process.on(signal, () => undefined);
      await guardTree(Number(killAfterMs));
      done(exitCodes.ok);
    });
}
