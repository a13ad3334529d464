import type { Outcome } from "../model/finding.ts";
import { fault } from "../model/finding.ts";
import { firstLine, runProgram } from "../system/processes/run-program.ts";

/** Asks one probe in a process of its own: a file system that hangs, hangs that one. */
export async function askChild(name: string, folder: string, timeoutMs: number): Promise<Outcome> {
  const answer = await runProgram({ argv: [process.execPath, "__probe", "run", name, folder], timeoutMs });
  switch (answer.kind) {
    case "late":
      return fault(
        `no answer within ${timeoutMs / 1000} s`,
        "any program that does this hangs as long; trainlock run ends with exit 3",
        "check the file server, and for NFS its lock manager (rpc.statd, lockd); then again",
      );
    case "missing":
    case "too much":
      return fault("the probe could not be run", "nothing is known about this", null);
    case "ended":
      return (
        parseOutcome(answer.stdout) ??
        fault(`the probe failed: ${firstLine(answer.stderr)}`, "nothing is known about this")
      );
  }
}

/** Written by this very program, so its form is taken for granted once it is JSON. */
function parseOutcome(text: string): Outcome | null {
  try {
    const value: Outcome = JSON.parse(text);
    return typeof value.found === "string" ? value : null;
  } catch {
    return null;
  }
}
