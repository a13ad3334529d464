import type { Finding } from "../../model/finding.ts";
import { printable } from "../../model/printable.ts";
import type { Paint } from "./paint.ts";
import { terminalColumns, wrapped } from "./wrapped.ts";

const words = { ok: "ok", warning: "warning", fault: "FAULT" } as const;

/** One line of the table, and beneath it what it means and what to do, unless `explained` has it from an earlier one. */
export function findingText(finding: Finding, paint: Paint, explained: Set<string>): string {
  const { check, subject, level, found, means, remedy } = finding;
  const colour = { ok: paint.green, warning: paint.yellow, fault: paint.red }[level];
  const columns = terminalColumns();
  const line = wrapped(
    `${words[level].padEnd(8)} ${check.padEnd(25)} ${printable(subject)}: ${printable(found)}`,
    columns,
  );
  const head = `${colour(line.slice(0, 8))}${line.slice(8)}\n`;
  const indent = " ".repeat(9);
  const more = [...(means === null ? [] : [means]), ...(remedy === null ? [] : [`what to do: ${remedy}`])];
  const explanation = more.join("\n");
  if (explained.has(explanation)) return head;
  explained.add(explanation);
  return head + more.map((text) => `${wrapped(`${indent}${printable(text)}`, columns)}\n`).join("");
}
