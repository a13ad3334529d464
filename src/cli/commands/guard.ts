import { exitCodes } from "../../model/errors.ts";
import { guardTree } from "../../run/guard-tree.ts";
import { outliveJob } from "../../system/processes/signals.ts";
import { defineCommand, operand } from "../command.ts";

/** The process that ends a command when its wrapper is killed. */
export const command = defineCommand({
  hidden: true,
  summary: "end a command's processes when trainlock is killed",
  operands: { killAfterMs: operand("milliseconds from SIGTERM to SIGKILL") },
  examples: [],
  exitCodes: { 0: "done" },
  async execute({ killAfterMs }) {
    outliveJob();
    await guardTree(Number(killAfterMs));
    return exitCodes.ok;
  },
});
