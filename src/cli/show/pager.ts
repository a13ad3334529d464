import { spawnSync } from "node:child_process";
import { isOnPath } from "../../system/processes/on-path.ts";
import { print } from "../output.ts";

/**
 * Prints a text: on a terminal that is lower than the text by the user's pager, as man(1) and git do. `PAGER=` or `cat`: by none.
 */
export function printPaged(text: string): void {
  const lines = process.stdout.rows || 24;
  const pager = process.env.PAGER ?? (isOnPath("less") ? "less" : "");
  const fits = text.split("\n").length <= lines;
  if (fits || pager.trim() === "" || !process.stdin.isTTY || process.env.TERM === "dumb") {
    print(text);
    return;
  }
  // Ctrl-C is for the pager: without us it would be left behind, on the terminal of the shell.
  process.on("SIGINT", () => undefined);
  // -F: nothing to scroll; -R: colours; -X: the text stays on the screen.
  const env = { ...process.env, LESS: process.env.LESS ?? "FRX" };
  const { status } = spawnSync("/bin/sh", ["-c", pager], { input: text, stdio: ["pipe", "inherit", "inherit"], env });
  // A pager that is not there has shown nothing.
  if (status === null || status === 126 || status === 127) print(text);
}
