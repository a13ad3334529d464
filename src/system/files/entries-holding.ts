import { readdirSync } from "node:fs";
import { bunEntriesHolding } from "./entries-holding-bun.ts";
import { type Collected, type EntriesHolding, isTypeless, kindAt, kindOf, lookInto, type Wanted } from "./look-into.ts";

/**
 * The subfolders of a folder that have an entry of this name, of whatever kind, symbolic links not followed. One call to the
 * file system a subfolder: where folders are counted by the hundred thousand, nothing else matters. Throws what reading
 * the folder throws.
 */
export function entriesHolding(folder: string, wanted: Wanted): EntriesHolding {
  if (process.versions.bun !== undefined) return bunEntriesHolding(folder, wanted);
  const found: Collected = { names: [], links: [], closed: [] };
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const kind = isTypeless(entry) ? kindAt(`${folder}/${entry.name}`) : kindOf(entry);
    if (kind === "link") found.links.push(entry.name);
    if (kind === "folder") lookInto(folder, entry.name, wanted, found);
  }
  return found;
}
