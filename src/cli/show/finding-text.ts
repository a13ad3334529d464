import type { Finding } from "../../model/finding.ts";
import { printable } from "../../model/printable.ts";
import type { Paint } from "./paint.ts";

const words = { ok: "ok", warning: "warning", fault: "FAULT" } as const;

/** One line of the table, and beneath it what it means and what to do, unless `explained` has it from an earlier one. */
export function findingText(finding: Finding, paint: Paint, explained: Set<string>): string {
  const { check, subject, level, found, means, remedy } = finding;
  const colour = { ok: paint.green, warning: paint.yellow, fault: paint.red }[level];
  const head = `${colour(words[level].padEnd(8))} ${check.padEnd(25)} ${printable(subject)}: ${printable(found)}\n`;
  const indent = " ".repeat(9);
  const more = [...(means === null ? [] : [means]), ...(remedy === null ? [] : [`what to do: ${remedy}`])];
  const explanation = more.join("\n");
  if (explained.has(explanation)) return head;
  explained.add(explanation);
  return head + more.map((line) => `${indent}${printable(line)}\n`).join("");
}
