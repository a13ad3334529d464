import { relative } from "node:path";
import type { DoneRule } from "./done-rule.ts";
import { matchingFiles } from "./matching-files.ts";

/** What a weights dir lacks for a done rule that does not hold, in words. */
export async function whatIsMissing(weightsDir: string, { patterns, smallestBytes, file }: DoneRule): Promise<string> {
  if (patterns.length === 0) return `${file} is not there`;
  for (const pattern of patterns) {
    const [match] = await matchingFiles(weightsDir, pattern);
    if (match === undefined) continue;
    const name = relative(weightsDir, match.path);
    if (match.bytes >= smallestBytes) return `${name} is another configuration's`;
    return `${name} has ${match.bytes} bytes, fewer than the ${smallestBytes} of --done-min-size`;
  }
  return `nothing in its weights dir matches ${patterns.join(", ")}`;
}
