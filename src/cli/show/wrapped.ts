import { isTerminal } from "../output.ts";

/** The width of the terminal that results go to; null: they go elsewhere, where nothing is cut or broken. */
export function terminalColumns(): number | null {
  return isTerminal(1) ? process.stdout.columns || 80 : null;
}

/**
 * A line as lines of at most so many columns, broken at spaces and indented further. What has no space stays whole, to be copied. A
 * command to type begins a line of its own, and goes on as a shell takes it.
 */
export function wrapped(line: string, columns: number | null): string {
  if (columns === null || line.length <= columns) return line;
  const indent = /^ */.exec(line)?.[0] ?? "";
  const at = line.search(/(?<=: )trainlock /);
  if (at === -1) return fill(line, columns, { hanging }).join("\n");
  const command = `${indent}  ${line.slice(at)}`;
  // Within quotes a shell takes a broken line for what it is.
  const lines = /['"\\]/.test(command) ? [command] : fill(command, columns, { hanging, end: " \\" });
  return [...fill(line.slice(0, at).trimEnd(), columns, { hanging }), ...lines].join("\n");
}

/** What the lines after the first are indented by. */
const hanging = "  ";

/** A line as lines of at most so many columns, broken at spaces. `end`: what a line that goes on ends with. */
export function fill(line: string, columns: number, { hanging = "", end = "" } = {}): string[] {
  const indent = /^ */.exec(line)?.[0] ?? "";
  const [first = "", ...words] = line.slice(indent.length).split(" ");
  const lines: string[] = [];
  let current = `${indent}${first}`;
  for (const word of words) {
    if (`${current} ${word}${end}`.length <= columns) current += ` ${word}`;
    else {
      lines.push(`${current}${end}`);
      current = `${indent}${hanging}${word}`;
    }
  }
  return [...lines, current];
}
