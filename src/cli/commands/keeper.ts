import { exitCodes } from "../../model/errors.ts";
import { runKeeper } from "../../stores/lease/run-keeper.ts";
import { defineCommand } from "../command.ts";

/** The process that renews a lease beside `run`. */
export const command = defineCommand({
  hidden: true,
  summary: "renew a lease",
  examples: [],
  exitCodes: { 0: "done" },
  async execute() {
    await runKeeper();
    return exitCodes.ok;
  },
});
