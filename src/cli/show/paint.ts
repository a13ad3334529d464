import { isTerminal } from "../output.ts";

type Colour = (text: string) => string;

export interface Paint {
  readonly green: Colour;
  readonly red: Colour;
  readonly yellow: Colour;
  /** For headings, and what a page says loudly. */
  readonly strong: Colour;
}

const plain: Colour = (text) => text;
const sgr =
  (code: number): Colour =>
  (text) =>
    `\x1b[${code}m${text}\x1b[0m`;

/** Colours on a terminal only, and never where NO_COLOR is set (no-color.org) or `--no-color` is given. */
export function paintFor(fd: 1 | 2, wanted: boolean): Paint {
  const unwanted = !wanted || (process.env.NO_COLOR ?? "") !== "" || process.env.TERM === "dumb";
  if (unwanted || !isTerminal(fd)) return { green: plain, red: plain, yellow: plain, strong: plain };
  return { green: sgr(32), red: sgr(31), yellow: sgr(33), strong: sgr(1) };
}
