import type { Finding } from "../../model/finding.ts";
import { printable } from "../../model/printable.ts";
import type { Paint } from "./paint.ts";

const words = { ok: "ok", warning: "warning", fault: "FAULT" } as const;

/** One line of the table, and beneath it what it means and what to do. */
export function findingText({ check, subject, level, found, means, remedy }: Finding, paint: Paint): string {
  const colour = { ok: paint.green, warning: paint.yellow, fault: paint.red }[level];
  const head = `${colour(words[level].padEnd(8))} ${check.padEnd(25)} ${printable(subject)}: ${printable(found)}\n`;
  const indent = " ".repeat(9);
  const more = [...(means === null ? [] : [means]), ...(remedy === null ? [] : [`what to do: ${remedy}`])];
  return head + more.map((line) => `${indent}${printable(line)}\n`).join("");
}
