import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";

/** In one step, as a holder puts back what is missing. With no text a folder comes in its place. */
export function replaceFile(path: string, text: string | null): void {
  const beside = `${path}.theirs`;
  if (text !== null) {
    writeFileSync(beside, text);
    renameSync(beside, path);
    return;
  }
  for (;;) {
    rmSync(path, { force: true });
    try {
      mkdirSync(path);
      return;
    } catch {
      // The holder was quicker.
    }
  }
}
