import { readdirSync } from "node:fs";
import { bunEntriesHolding } from "./entries-holding-bun.ts";
import { type Closed, type EntriesHolding, lookInto, type Wanted } from "./look-into.ts";

/**
 * The subfolders of a folder that have an entry of this name, of whatever kind, symbolic links not followed. One call to the
 * file system a subfolder: where folders are counted by the hundred thousand, nothing else matters. Throws what reading
 * the folder throws.
 */
export function entriesHolding(folder: string, wanted: Wanted): EntriesHolding {
  if (process.versions.bun !== undefined) return bunEntriesHolding(folder, wanted);
  const found = { names: [] as string[], closed: [] as Closed[] };
  for (const name of readdirSync(folder)) lookInto(folder, name, wanted, found);
  return found;
}
