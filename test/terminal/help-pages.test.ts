import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { pageText } from "../../src/cli/show/page-text.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { executable, trainlock } from "../support/trainlock.ts";
import { startTerminal } from "./terminal.ts";

const docs = fileURLToPath(new URL("../../docs", import.meta.url));
const pages = readdirSync(docs).filter((name) => name.endsWith(".md"));

const topicOf = (file: string) => (pages.includes(file) ? file.replace(/\.md$/, "") : null);
const shown = (page: string, columns: number) => pageText(page, { columns, topicOf, strong: (text) => text }).trimEnd();

/** The lines of a page's blocks of code, which are never broken. */
const codeOf = (page: string) =>
  [...page.matchAll(/^ *```.*\n([\s\S]*?)^ *```$/gm)].flatMap(([, code = ""]) => code.split("\n"));

test.each(pages)(
  "%s: no line of prose or of a table is longer than a terminal, but for a word that is; no code is lost",
  (name) => {
    const page = readFileSync(join(docs, name), "utf8");
    const code = codeOf(page);
    for (const columns of [60, 80]) {
      const lines = shown(page, columns).split("\n");
      const long = lines.filter((line) => [...line].length > columns && !code.includes(line));
      expect(long.filter((line) => /\S\s+\S/.test(line.replace(/^\s*(?:- )?\S+?:? /, "")))).toEqual([]);
      expect(code.filter((line) => line.trim() !== "" && !lines.includes(line))).toEqual([]);
      expect(lines.filter((line) => !code.includes(line) && /\]\(|^\||\*\*/.test(line))).toEqual([]);
    }
  },
);

test("links name the page as help takes it; a table that does not fit is a list of its rows", () => {
  const page = [
    "# A page",
    "",
    "See [what *runs*](run.md#signals) and [the site",
    "file](https://example.org/a).",
    "",
    "| state | means | type |",
    "| ----- | ----- | ---- |",
    "| free  | nobody trains it \\| it can be trained | `run` |",
    "| done  | it is trained | |",
  ].join("\n");
  expect(shown(page, 40).split("\n")).toEqual([
    "A page",
    "",
    "See what *runs* (trainlock help run) and",
    "the site file (https://example.org/a).",
    "",
    "- free",
    "    means: nobody trains it | it can be",
    "      trained",
    "    type: `run`",
    "- done",
    "    means: it is trained",
  ]);
  expect(shown(page, 80).split("\n").slice(4)).toEqual([
    "state  means                                 type",
    "-----  ------------------------------------  -----",
    "free   nobody trains it | it can be trained  `run`",
    "done   it is trained",
  ]);
});

requiresPrograms("tmux", "less")(
  "a page that is higher than the terminal is paged, and the shell is back after it",
  async () => {
    const terminal = await startTerminal({ TRAINLOCK: executable });
    terminal.resize(80, 24);
    terminal.type("clear; $TRAINLOCK help history.md; echo code=$?");
    const first = await terminal.shows(/^How runs ended/m);
    expect(first).not.toContain("code=");
    terminal.press("q");
    await terminal.shows(/^code=0$/m);
    terminal.type("clear; PAGER= $TRAINLOCK help exit-codes; echo code=$?");
    await terminal.shows(/^code=0$/m);
    expect(terminal.lines().filter((line) => line.length > 80)).toEqual([]);
  },
);

test("help lists its pages within 80 columns, the help of a command names its page, and a page as a command is recognized", async () => {
  const { stdout } = await trainlock(["help"]);
  expect(stdout.split("\n").filter((line) => line.length > 80)).toEqual([]);
  expect(stdout).toMatch(/history\.md/);
  expect((await trainlock(["history", "--help"])).stdout).toContain("\nMore: trainlock help history.md\n");
  expect((await trainlock(["tutorial"])).stderr).toContain("did you mean trainlock help tutorial?");
  expect((await trainlock(["version"])).stderr).toContain("did you mean trainlock --version?");
});
