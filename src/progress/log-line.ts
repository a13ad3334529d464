import { escaped } from "../site/condition.ts";
import { type Step, stepOf } from "./progress.ts";

/** The pattern takes as many spaces as columns need, and no more. A file that has only spaces must not keep us busy. */
const spaces = { some: "[ \\t]{1,40}", any: "[ \\t]{0,40}" };

/** The last step in the end of a log, in lines that look as the site says: texts around `{step}` and `{of}`. */
export function logLineStep(end: Uint8Array, line: string): Step | null {
  const source = line
    .trim()
    .split(/(\{step\}|\{of\})/)
    .filter((part) => part !== "")
    .map((part) => {
      if (part === "{step}") return "(?<!\\d)(?<step>\\d{1,15})(?!\\d)";
      if (part === "{of}") return "(?<!\\d)(?<of>\\d{1,15})(?!\\d)";
      const words = part.trim().split(/\s+/).map(escaped).join(spaces.some);
      return words === "" ? spaces.some : `${spaces.any}${words}${spaces.any}`;
    })
    .join("");
  let last: Step | null = null;
  for (const { groups } of Buffer.from(end).toString("utf8").matchAll(new RegExp(source, "g"))) {
    const step = stepOf(groups?.step);
    if (step !== null) last = { step, of: stepOf(groups?.of), unit: "unknown" };
  }
  return last;
}
