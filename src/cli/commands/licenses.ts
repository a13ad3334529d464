import trainlock from "../../../LICENSE" with { type: "text" };
import bun from "../../../node_modules/bun-types/docs/project/license.mdx" with { type: "text" };
import csvParse from "../../../node_modules/csv-parse/LICENSE" with { type: "text" };
import fdir from "../../../node_modules/fdir/LICENSE" with { type: "text" };
import picomatch from "../../../node_modules/picomatch/LICENSE" with { type: "text" };
import tinyglobby from "../../../node_modules/tinyglobby/LICENSE" with { type: "text" };
import valibot from "../../../node_modules/valibot/LICENSE.md" with { type: "text" };
import yaml from "../../../node_modules/yaml/LICENSE" with { type: "text" };
import { exitCodes } from "../../model/errors.ts";
import { defineCommand } from "../command.ts";
import { print } from "../output.ts";

const runtime = `It is compiled with Bun, https://bun.com, whose runtime is in this file. Of its licences Bun says:

${plain(bun)}`;

const parts = { trainlock, Bun: runtime, valibot, yaml, "csv-parse": csvParse, tinyglobby, fdir, picomatch };

/** A page without what is for the web alone: its head, the alignment of tables, marks of code. */
function plain(page: string): string {
  return page
    .replace(/^---\n.*?\n---\n/s, "")
    .replace(/^\|[ |-]+\|\n/gm, "")
    .replaceAll(/ {2,}\|/g, " |")
    .replaceAll(/\[`?([^\]`]+)`?\]\(([^)]+)\)/g, "$1 ($2)")
    .trim();
}

export const command = defineCommand({
  summary: "print the licences of what is in this executable",
  examples: ["trainlock licenses | less"],
  exitCodes: { 0: "printed", 2: "the call is wrong" },
  execute: () => {
    const texts = Object.entries(parts).map(([name, text]) => `== ${name} ==\n\n${text.trim()}`);
    print(`${texts.join("\n\n")}\n`);
    return exitCodes.ok;
  },
});
