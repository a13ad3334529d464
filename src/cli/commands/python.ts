import trainingLock from "../../../python/training_lock.py" with { type: "text" };
import { exitCodes } from "../../model/errors.ts";
import { defineCommand } from "../command.ts";
import { print } from "../output.ts";

export const command = defineCommand({
  summary: "print training_lock.py, the lock for programs in Python",
  notes:
    "One file for Python 3.6 and later, without other packages. It takes the place of an older training_lock.py: same " +
    "names, same arguments. See `trainlock help python.md`.",
  examples: ["trainlock python > training_lock.py"],
  exitCodes: { 0: "printed" },
  execute() {
    print(trainingLock);
    return exitCodes.ok;
  },
});
