import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { onTestFinished } from "vitest";
import { environment } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

/** An interactive bash in a real terminal, its own tmux server around it. */
export interface Terminal {
  /** Types a line, and Enter. */
  type(line: string): void;
  /** Presses a key as tmux names it: `C-c`, `C-z`, `q`. */
  press(key: string): void;
  screen(): string;
  /** What is on the screen, each line whole that goes on in the next row. */
  lines(): string[];
  /** Waits until the screen matches. */
  shows(what: RegExp): Promise<string>;
  resize(columns: number, rows: number): void;
}

/** Its prompt is `$ `, and it is gone with the test. */
export async function startTerminal(env: Readonly<Record<string, string>> = {}): Promise<Terminal> {
  const server = `trainlock-${randomBytes(6).toString("hex")}`;
  const tmux = (...args: readonly string[]): string => {
    const { status, stdout, stderr } = spawnSync("tmux", ["-L", server, "-f", "/dev/null", ...args], {
      encoding: "utf8",
      env: environment({ TERM: "xterm-256color", ...env }),
    });
    if (status !== 0) throw new Error(`tmux ${args[0]}: ${stderr}`);
    return stdout;
  };
  tmux("new-session", "-d", "-x", "100", "-y", "30", "exec env PS1='$ ' bash --norc --noprofile");
  onTestFinished(() => {
    spawnSync("tmux", ["-L", server, "kill-server"]);
  });
  const screen = () => tmux("capture-pane", "-p");
  const shows = (what: RegExp) =>
    until(`${what} on the screen`, () => (what.test(screen()) ? screen() : null)).catch((error: Error) => {
      throw new Error(`${error.message}\n${screen()}`);
    });
  await shows(/^\$/m);
  return {
    type: (line) => {
      tmux("send-keys", "-l", line);
      tmux("send-keys", "Enter");
    },
    press: (key) => {
      tmux("send-keys", key);
    },
    screen,
    lines: () => tmux("capture-pane", "-p", "-J").trimEnd().split("\n"),
    shows,
    resize: (columns, rows) => {
      tmux("resize-window", "-x", String(columns), "-y", String(rows));
    },
  };
}
