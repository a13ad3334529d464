import { closeSync, constants, openSync, readSync } from "node:fs";
import type { Command } from "commander";
import { EnvironmentError, exitCodes } from "../../model/errors.ts";
import { isErrno } from "../../system/libc/errno.ts";
import { tryFlock } from "../../system/libc/flock.ts";
import { tryRangeLock } from "../../system/libc/range-lock.ts";
import { print } from "../output.ts";

/** What `doctor` runs in processes of their own, as any of it may hang. Not for users: hidden, and free to change. */
export function addProbeCommand(program: Command, done: (exitCode: number) => void): void {
  program
    .command("__probe", { hidden: true })
    .argument("<what>")
    .argument("<subject>")
    .argument("<path>")
    .action(async (what: string, subject: string, path: string) => {
      if (what === "hold") holdUntilInputEnds(subject === "ofd" ? tryRangeLock : tryFlock, path);
      else {
        const { probeHere } = await import("../../doctor/probes.ts");
        print(`${JSON.stringify(await probeHere(subject, path))}\n`);
      }
      done(exitCodes.ok);
    });
}

function holdUntilInputEnds(take: typeof tryFlock, path: string): void {
  const fd = openSync(path, constants.O_RDWR | constants.O_CREAT, 0o664);
  if (take(fd, path, "exclusive") === "busy")
    throw new EnvironmentError(`${path} is locked already`, { code: "ERR_PROBE" });
  print("HELD\n");
  const byte = Buffer.alloc(1);
  try {
    while (readSync(0, byte) > 0);
  } catch (error) {
    if (!isErrno(error, "EOF", "EPIPE", "ECONNRESET")) throw error;
  }
  closeSync(fd);
}
