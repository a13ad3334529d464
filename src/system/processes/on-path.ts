import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Whether a program of this name can be started: execvp(3) without the start. */
export function isOnPath(name: string, path: string = process.env.PATH ?? ""): boolean {
  return path.split(delimiter).some((folder) => canBeStarted(join(folder === "" ? "." : folder, name)));
}

/** Whether a file is a program that this user may start. A folder is none, though it may have the same permission. */
export function canBeStarted(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return statSync(file).isFile();
  } catch {
    return false;
  }
}
