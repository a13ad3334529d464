import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const page = readFileSync(fileURLToPath(new URL("../../docs/work.md", import.meta.url)), "utf8");

/** The block of docs/work.md that begins with these words. */
export function recipe(begin: string): string {
  const blocks = [...page.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].map(([, text = ""]) => text);
  const [block] = blocks.filter((text) => text.trimStart().startsWith(begin));
  if (block === undefined) throw new Error(`docs/work.md has no block that begins with ${begin}`);
  return block;
}
