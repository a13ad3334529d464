import { fill } from "./wrapped.ts";

/** Longer lines are hard to read. */
const widestColumns = 100;

export interface PageLook {
  readonly columns: number;
  /** What `trainlock help` takes for the page of a file such as `run.md`; null: it has no such page. */
  readonly topicOf: (file: string) => string | null;
  readonly strong: (text: string) => string;
}

/**
 * A page in Markdown as a terminal of so many columns shows it. Only what our own pages use is known: no nested lists, no quotes.
 */
export function pageText(page: string, look: PageLook): string {
  const columns = Math.min(look.columns, widestColumns);
  const parts = blocksOf(page).map((block) => blockText(block, { ...look, columns }));
  return `${parts.filter((text) => text !== "").join("\n\n")}\n`;
}

type Block =
  | { readonly kind: "code" | "table" | "list"; readonly lines: readonly string[] }
  | { readonly kind: "heading" | "prose"; readonly lines: readonly string[] };

const fence = /^\s*```/;
const listItem = /^(?:-|\d+\.) /;

/** What belongs together: up to an empty line, or to what begins something else. */
function blocksOf(page: string): Block[] {
  const blocks: { kind: Block["kind"]; lines: string[] }[] = [];
  let inCode = false;
  let isNew = true;
  for (const line of page.split("\n")) {
    if (fence.test(line)) {
      inCode = !inCode;
      if (inCode) blocks.push({ kind: "code", lines: [] });
      isNew = true;
    } else if (inCode) blocks.at(-1)?.lines.push(line);
    else if (line.trim() === "" || line.startsWith("<!--")) isNew = true;
    else {
      const last = isNew ? undefined : blocks.at(-1);
      const kind = kindOf(line, last?.kind);
      if (last?.kind === kind && kind !== "heading") last.lines.push(line);
      else blocks.push({ kind, lines: [line] });
      isNew = false;
    }
  }
  return blocks;
}

function kindOf(line: string, before: Block["kind"] | undefined): Block["kind"] {
  if (/^#+ /.test(line)) return "heading";
  if (line.startsWith("|")) return "table";
  return listItem.test(line) || (before === "list" && /^\s/.test(line)) ? "list" : "prose";
}

function blockText({ kind, lines }: Block, look: PageLook): string {
  switch (kind) {
    case "code":
      return lines.join("\n");
    case "heading":
      return fill(inline(lines.join(" ").replace(/^#+ /, ""), look), look.columns)
        .map(look.strong)
        .join("\n");
    case "table":
      return tableText(lines, look);
    case "list":
      return itemsOf(lines)
        .map((item) => paragraph(item, look, /^\S+/.exec(item)?.[0].length ?? 0))
        .join("\n");
    case "prose":
      return paragraph(lines.join(" "), look, -1);
  }
}

function itemsOf(lines: readonly string[]): string[] {
  const items: string[] = [];
  for (const line of lines) {
    if (listItem.test(line)) items.push(line);
    else items.push(`${items.pop() ?? ""} ${line.trim()}`);
  }
  return items;
}

/** `mark`: how long the mark of a list's item is, under which nothing else stands; -1: it is none. */
function paragraph(text: string, look: PageLook, mark: number): string {
  return fill(inline(text, look), look.columns, { hanging: " ".repeat(mark + 1) })
    .map((line) => emphasized(line, look))
    .join("\n");
}

/** Links in words: `run (trainlock help run.md)`. A picture is named, and what a web page alone can show is left out. */
function inline(text: string, { topicOf }: PageLook): string {
  return text.replaceAll(/(!?)\[([^\]]*)\]\(([^)\s]+)\)/g, (_, picture: string, words: string, target: string) => {
    if (picture !== "") return `(Picture: ${words})`;
    if (/^https?:/.test(target)) return words === target ? words : `${words} (${target})`;
    const file = target.replace(/#.*/, "");
    const topic = topicOf(file);
    if (topic !== null) return `${words} (trainlock help ${topic})`;
    const isPage = file.endsWith(".md") && !words.includes(file.replace(/^\.\.\//, ""));
    return isPage ? `${words} (${file.replace(/^\.\.\//, "")})` : words;
  });
}

/** `**so**` within a line. A mark whose other half is in another line is left out. */
function emphasized(line: string, { strong }: PageLook): string {
  return line.replaceAll(/\*\*([^*]+)\*\*/g, (_, words: string) => strong(words)).replaceAll("**", "");
}

/** As a table where it fits; else each row as an item, its cells under the heads of their columns. */
function tableText(lines: readonly string[], look: PageLook): string {
  const [head = [], , ...rows] = lines.map((line) => cellsOf(line).map((cell) => inline(cell, look)));
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => lengthOf(row[column] ?? ""))));
  const whole = widths.reduce((sum, width) => sum + width + 2, -2);
  if (whole <= look.columns) {
    const line = (row: readonly string[]) =>
      row
        .map((cell, column) => padded(cell, widths[column] ?? 0))
        .join("  ")
        .trimEnd();
    const rule = widths.map((width) => "-".repeat(width)).join("  ");
    return [line(head), rule, ...rows.map(line)].map((text) => emphasized(text, look)).join("\n");
  }
  const said = rows.map((row) => rowText(head, row, look));
  return (head.length <= 2 && head.some((cell) => cell !== "") ? [look.strong(head.join(": ")), ...said] : said).join(
    "\n",
  );
}

/** Of two columns the second needs no head in each row: they stand above the first. */
function rowText(head: readonly string[], [first = "", ...cells]: readonly string[], look: PageLook): string {
  const item = (text: string, hanging: string) =>
    fill(text, look.columns, { hanging }).map((line) => emphasized(line, look));
  const said = cells.map((cell, index) => [head[index + 1] ?? "", cell] as const).filter(([, cell]) => cell !== "");
  const title = first === "" ? (said.shift()?.[1] ?? "") : first;
  if (head.length <= 2) return item(`- ${[title, ...said.map(([, cell]) => cell)].join(": ")}`, "  ").join("\n");
  return [item(`- ${title}`, "  "), ...said.map(([name, cell]) => item(`    ${name}: ${cell}`, "  "))]
    .flat()
    .join("\n");
}

/** The cells of a row. A bar within a cell is written `\|`. */
function cellsOf(line: string): string[] {
  const cells = line
    .trim()
    .slice(1, -1)
    .split(/(?<!\\)\|/);
  return cells.map((cell) => cell.trim().replaceAll("\\|", "|"));
}

function lengthOf(text: string): number {
  return [...text.replaceAll("**", "")].length;
}

function padded(text: string, width: number): string {
  return text + " ".repeat(width - lengthOf(text));
}
