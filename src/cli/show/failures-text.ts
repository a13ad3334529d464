import type { PlannedRow } from "../../grid/plan.ts";
import { printable } from "../../model/printable.ts";
import { lastLines } from "../../work/row-log.ts";

const [mostRead, mostGroups, mostNames] = [1000, 10, 3];

/** The failed rows by the last line of their logs, the most frequent first; empty where none has a log. */
export function failuresText(rows: readonly PlannedRow[]): string {
  const groups = new Map<string, { readonly line: string; readonly names: string[] }>();
  for (const { state, log, name } of rows.filter(({ state }) => state === "failed").slice(0, mostRead)) {
    const [line] = state === "failed" && log !== null ? lastLines(log, 1) : [];
    if (line === undefined) continue;
    // Numbers of bytes, processes and lines differ from run to run.
    const key = line.replaceAll(/\d+/g, "#").trim();
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { line: line.trim(), names: [name] });
    else group.names.push(name);
  }
  return [...groups.values()]
    .sort((a, b) => b.names.length - a.names.length)
    .slice(0, mostGroups)
    .map(({ line, names }) => {
      const more = names.length > mostNames ? ` and ${names.length - mostNames} more` : "";
      const whose = names.slice(0, mostNames).map(printable).join(", ");
      return `Failed: ${names.length} with ${printable(line.slice(0, 200))} (${whose}${more})\n`;
    })
    .join("");
}
