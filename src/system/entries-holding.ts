import { readdirSync } from "node:fs";
import { bunEntriesHolding } from "./entries-holding-bun.ts";
import { type EntriesHolding, lookInto } from "./look-into.ts";

/**
 * The subfolders of a folder that have an entry of this name, of whatever kind, symbolic links not followed. One call to the
 * file system a subfolder: where folders are counted by the hundred thousand, nothing else matters. Throws what reading
 * the folder throws.
 */
export function entriesHolding(folder: string, file: string): EntriesHolding {
  if (process.versions.bun !== undefined) return bunEntriesHolding(folder, file);
  const names: string[] = [];
  const closed: { name: string; errno: string }[] = [];
  for (const name of readdirSync(folder)) lookInto(folder, name, file, names, closed);
  return { names, closed };
}
