import { exitCodes } from "../../model/errors.ts";
import { answerPython } from "../../python/dialogue.ts";
import { LineSocket } from "../../system/processes/line-socket.ts";
import { defineCommand } from "../command.ts";

/** Set by the build. */
declare const TRAINLOCK_VERSION: string;

/** What python/training_lock.py starts for each thing that it cannot do alone. */
export const command = defineCommand({
  hidden: true,
  summary: "answer one request of training_lock.py",
  examples: [],
  exitCodes: { 0: "answered, whatever the answer" },
  async execute() {
    await answerPython(new LineSocket(0), TRAINLOCK_VERSION);
    return exitCodes.ok;
  },
});
