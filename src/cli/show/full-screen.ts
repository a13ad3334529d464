import type { ScreenLine, ScreenSize } from "../../board/top-view.ts";
import { print } from "../output.ts";
import type { Paint } from "./paint.ts";

/** The other screen, without a cursor, and lines that are too long cut by the terminal: nothing of the shell's is lost. */
const enter = "\x1b[?1049h\x1b[?25l\x1b[?7l";
const leave = "\x1b[?7h\x1b[?25h\x1b[?1049l";
const home = "\x1b[H";
const restOfLine = "\x1b[K";

/** A terminal taken over as a whole, and given back. */
export class FullScreen {
  readonly #paint: Paint;
  #isOpen = false;

  constructor(paint: Paint) {
    this.#paint = paint;
  }

  get size(): ScreenSize {
    return { columns: process.stdout.columns || 80, lines: process.stdout.rows || 24 };
  }

  open(onText: (text: string) => void): void {
    this.#isOpen = true;
    process.stdin.setRawMode(true);
    process.stdin.setEncoding("utf8");
    process.stdin.removeAllListeners("data");
    process.stdin.on("data", (text) => onText(String(text)));
    process.stdin.resume();
    print(enter);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    process.stdin.setRawMode(false);
    process.stdin.pause();
    print(leave);
  }

  draw(lines: readonly ScreenLine[]): void {
    if (!this.#isOpen) return;
    // Erased before it is written: after a full line the cursor still stands on its last character.
    print(home + lines.map((line) => restOfLine + this.#lineText(line)).join("\r\n"));
  }

  #lineText({ text, state, chosen }: ScreenLine): string {
    // Told apart without colours, too.
    if (chosen) return `\x1b[7m${text}\x1b[27m`;
    if (state === undefined || !text.startsWith(state)) return text;
    const rest = text.slice(state.length);
    if (state === "running") return this.#paint.green(state) + rest;
    if (state === "stale" || state === "failed") return this.#paint.red(state) + rest;
    return state === "unknown" || state === "blocked" ? this.#paint.yellow(state) + rest : text;
  }
}
