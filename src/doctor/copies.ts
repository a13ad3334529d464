import { realpathSync } from "node:fs";
import { isAbsolute } from "node:path";
import { type Outcome, ok, warning } from "../model/finding.ts";
import { canBeStarted, filesOnPath } from "../system/processes/on-path.ts";
import { firstLine, runProgram } from "../system/processes/run-program.ts";

export interface CopyFinding {
  readonly subject: string;
  readonly outcome: Outcome;
}

/** Which copy of the program runs, and which others a shell would find: jobs may start another than the one that is asked. */
export async function copyFindings(
  version: string,
  timeoutMs: number,
  path = process.env.PATH,
): Promise<CopyFinding[]> {
  const own = realOf(process.execPath);
  const onPath = copiesOnPath(path ?? "");
  const first = onPath[0];
  const findings: CopyFinding[] = [{ subject: process.execPath, outcome: ok(`this copy: ${version}`) }];
  for (const copy of onPath) {
    if (copy.real === own) continue;
    const says = await versionOf(copy.file, timeoutMs);
    const found = `another copy on PATH: ${says}`;
    const isTyped = copy === first;
    const means = isTyped
      ? "`trainlock` starts that copy, and not the one that is asked now"
      : "a shell with another PATH starts that copy";
    findings.push({
      subject: copy.file,
      outcome:
        !isTyped && says === version
          ? ok(found)
          : warning(found, means, "remove the one you do not want, or set PATH in your job scripts"),
    });
  }
  return findings;
}

interface Copy {
  readonly file: string;
  readonly real: string;
}

/** In the order in which a shell looks; each file once. Relative folders mean another place in each job. */
function copiesOnPath(path: string): Copy[] {
  const copies = new Map<string, Copy>();
  for (const file of filesOnPath("trainlock", path)) {
    if (!isAbsolute(file) || !canBeStarted(file)) continue;
    const real = realOf(file);
    if (!copies.has(real)) copies.set(real, { file, real });
  }
  return [...copies.values()];
}

function realOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}

/** Asks a copy for its version, and returns its own words. */
async function versionOf(file: string, timeoutMs: number): Promise<string> {
  const answer = await runProgram({ argv: [file, "--version"], timeoutMs });
  if (answer.kind === "ended" && answer.exitCode === 0) return firstLine(answer.stdout);
  return "it does not say its version";
}
