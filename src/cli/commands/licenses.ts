import csvParse from "../../../node_modules/csv-parse/LICENSE" with { type: "text" };
import valibot from "../../../node_modules/valibot/LICENSE.md" with { type: "text" };
import yaml from "../../../node_modules/yaml/LICENSE" with { type: "text" };
import { exitCodes } from "../../model/errors.ts";
import { defineCommand } from "../command.ts";
import { print } from "../output.ts";

const own = `trainlock is under the MIT licence.

It is compiled with Bun, https://bun.com, whose runtime is in this file. Bun is under the MIT licence. Its JavaScript engine,
JavaScriptCore, is under the LGPL 2.1; https://bun.com/docs/project/license lists the licences of all parts and how to
link a modified engine.`;

const parts = { valibot, yaml, "csv-parse": csvParse };

export const command = defineCommand({
  summary: "print the licences of what is in this executable",
  examples: ["trainlock licenses | less"],
  exitCodes: { 0: "printed", 2: "the call is wrong" },
  execute: () => {
    const texts = Object.entries(parts).map(([name, text]) => `== ${name} ==\n\n${text.trim()}`);
    print(`${[own, ...texts].join("\n\n")}\n`);
    return exitCodes.ok;
  },
});
