import { realpathSync } from "node:fs";
import { EnvironmentError } from "../../model/errors.ts";
import { nearestExisting } from "./nearest-existing.ts";

/** Whether a path stays in a folder when its links are followed. Where that cannot be told, later steps fail by themselves. */
export function isWithin(folder: string, path: string): boolean {
  try {
    const real = realpathSync(folder);
    return real === "/" || `${nearestExisting(path).leadsTo}/`.startsWith(`${real}/`);
  } catch {
    return true;
  }
}

/**
 * Refuses a path that a link leads out of the root: whoever can write a folder on the way can plant one, and what we create
 * and remove there would be somebody else's.
 */
export function requireWithin(root: string, path: string): void {
  if (!isWithin(root, path)) throw outsideRoot(root, path);
}

const outsideCode = "ERR_OUTSIDE_ROOT";

export function isOutsideRoot(error: unknown): boolean {
  return error instanceof EnvironmentError && error.code === outsideCode;
}

export function outsideRoot(root: string, path: string): EnvironmentError {
  return new EnvironmentError(`${path} leads out of the root ${root}: a folder on the way is a symbolic link`, {
    code: outsideCode,
    hint: "remove the link, make the folder that it leads to the root, or mount that folder in its place",
  });
}
