import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";

/** Whether a program of this name can be started: execvp(3) without the start. */
export function isOnPath(name: string, path: string = process.env.PATH ?? ""): boolean {
  return filesOnPath(name, path).some(canBeStarted);
}

/** Where execvp(3) looks for a program of this name, in its order; whether something is there nobody has asked. */
export function filesOnPath(name: string, path: string = process.env.PATH ?? ""): string[] {
  return path.split(delimiter).map((folder) => join(folder === "" ? "." : folder, name));
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
