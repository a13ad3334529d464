import type { Command } from "commander";
import { exitCodes } from "../../model/errors.ts";

/** The process that renews a lease beside `run`. Not for users: hidden, and free to change. */
export function addKeeperCommand(program: Command, done: (exitCode: number) => void): void {
  program.command("__keeper", { hidden: true }).action(async () => {
    const { runKeeper } = await import("../../stores/lease/run-keeper.ts");
    await runKeeper();
    done(exitCodes.ok);
  });
}
