import { closeSync, constants, openSync, readSync } from "node:fs";
import { EnvironmentError, exitCodes } from "../../model/errors.ts";
import { isErrno } from "../../system/libc/errno.ts";
import { tryFlock } from "../../system/libc/flock.ts";
import { tryRangeLock } from "../../system/libc/range-lock.ts";
import { defineCommand, operand } from "../command.ts";
import { print } from "../output.ts";

/** What `doctor` runs in processes of their own, as any of it may hang. */
export const command = defineCommand({
  hidden: true,
  summary: "one test of doctor",
  operands: {
    what: operand("hold or run"),
    subject: operand("a lock primitive, or the name of a test"),
    path: operand("the file or folder to test"),
  },
  examples: [],
  exitCodes: { 0: "done", 3: "the environment is wrong" },
  async execute({ what, subject, path }) {
    if (what === "hold") holdUntilInputEnds(subject === "ofd" ? tryRangeLock : tryFlock, path);
    else {
      // `run` holds a lock by this command, and then does not load doctor's tests.
      const { probeHere } = await import("../../doctor/probes.ts");
      print(`${JSON.stringify(await probeHere(subject, path))}\n`);
    }
    return exitCodes.ok;
  },
});

function holdUntilInputEnds(take: typeof tryFlock, path: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o664);
  if (take(fd, path, "exclusive") === "busy")
    throw new EnvironmentError(`${path} is locked already`, {
      code: "ERR_PROBE",
      hint: "is another doctor at work there?",
    });
  print("HELD\n");
  const byte = Buffer.alloc(1);
  try {
    while (readSync(0, byte) > 0);
  } catch (error) {
    if (!isErrno(error, "EOF", "EPIPE", "ECONNRESET")) throw error;
  }
  closeSync(fd);
}
