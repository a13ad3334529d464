import { exitCodes } from "../../model/errors.ts";
import { keepForPython } from "../../python/keep.ts";
import { LineSocket } from "../../system/processes/line-socket.ts";
import { defineCommand } from "../command.ts";

/** Set by the build. */
declare const TRAINLOCK_VERSION: string;

/** The process that keeps a claim in a store for a Python program. */
export const command = defineCommand({
  hidden: true,
  summary: "keep a claim for training_lock.py",
  examples: [],
  exitCodes: { 0: "released, or not had" },
  async execute() {
    await keepForPython(new LineSocket(0), TRAINLOCK_VERSION);
    return exitCodes.ok;
  },
});
