import { lstatSync } from "node:fs";
import { errnoOf } from "./errno.ts";

export interface EntriesHolding {
  /** Names of subfolders in which the file is. */
  readonly names: readonly string[];
  /** Names of subfolders that would not tell, with the errno. */
  readonly closed: readonly { readonly name: string; readonly errno: string }[];
}

/** One subfolder, by the runtime's own means. */
export function lookInto(
  folder: string,
  name: string,
  file: string,
  names: string[],
  closed: { name: string; errno: string }[],
): void {
  const path = `${folder}/${name}`;
  try {
    if (lstatSync(`${path}/${file}`, { throwIfNoEntry: false }) === undefined) return;
    // A link to a folder would be another way to a folder that has its own.
    if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) names.push(name);
  } catch (error) {
    const errno = errnoOf(error) ?? String(error);
    if (errno !== "ENOTDIR" && errno !== "ENOENT" && errno !== "ELOOP") closed.push({ name, errno });
  }
}
