import { FieldReader } from "../../grid/fields.ts";
import { configurationOfFolder } from "../../grid/known-rows.ts";
import { gridSource, readGrid } from "../../grid/read-grid.ts";
import type { Configuration } from "../../model/configuration.ts";
import { exitCodes } from "../../model/errors.ts";
import type { Layout } from "../../site/layout.ts";
import { openLayout } from "../../site/open-site.ts";
import { weightsFolders } from "../../site/weights-folders.ts";
import { defineCommand, restOperand } from "../command.ts";
import { print } from "../output.ts";

/** Somebody waits at the keyboard. Names that a slow file system has not given by then are not offered. */
const patienceMs = 1500;
const mostOffered = 1000;

/** The name of the hidden command that completion scripts call. */
export const completeCommandName = "__complete";

export const command = defineCommand({
  summary: "print what could stand for a value: FIELD, what is typed of it, and the words before",
  operands: { words: restOperand("FIELD CURRENT [WORD...]") },
  stopsAtOperand: true,
  hidden: true,
  examples: [],
  exitCodes: { 0: "printed" },
  execute: ({ words }) => complete(words),
});

/** Prints one candidate a line, and never a message: it would land in somebody's prompt. */
async function complete([field = "", current = "", ...words]: readonly string[]): Promise<number> {
  try {
    const layout = openLayout({
      root: given(words, "--root"),
      lockDir: given(words, "--lock-dir"),
      config: given(words, "--config"),
    });
    // Lists are separated by commas: the last one is still being typed.
    const before = current.slice(0, current.lastIndexOf(",") + 1);
    const taken = before.split(",");
    const values = [...(await valuesOf(layout, field))].filter((value) => !taken.includes(value)).sort();
    const candidates = values.map((value) => before + value).filter((value) => value.startsWith(current));
    print(
      candidates
        .filter((value) => !/\p{Cc}/u.test(value))
        .slice(0, mostOffered)
        .map((value) => `${value}\n`)
        .join(""),
    );
  } catch {
    // No root, a mistake in the site's file, a folder that cannot be read: nothing is offered.
  }
  // What has not answered by now must not keep the shell waiting.
  process.exit(exitCodes.ok);
}

/** The last value of an option among the words of a call. */
function given(words: readonly string[], flag: string): string | undefined {
  const inline = words.findLast((word) => word.startsWith(`${flag}=`));
  const at = words.lastIndexOf(flag);
  // Bash makes words of their own of `=` and what follows.
  return (
    inline?.slice(flag.length + 1) ?? (at === -1 ? undefined : words[at + 1] === "=" ? words[at + 2] : words[at + 1])
  );
}

async function valuesOf(layout: Layout, field: string): Promise<ReadonlySet<string>> {
  const declared = field === "dataset" ? (layout.site.datasets ?? []) : [];
  const values = new Set<string>(declared);
  const spelled = new Set(declared.map((name) => name.toLowerCase()));
  const add = (configuration: Configuration) => {
    if (field === "name") values.add(layout.displayName(configuration));
    else if (field === "strategy" || field === "model") values.add(configuration[field]);
    else if (field === "dataset" && !spelled.has(configuration.dataset.toLowerCase()))
      values.add(configuration.dataset);
    // Folders have small letters, what was declared or written in a grid comes first.
    spelled.add(configuration.dataset.toLowerCase());
  };
  const reader = new FieldReader(layout);
  const source = gridSource(reader, undefined, new Map());
  if (source !== null) for (const row of (await readGrid(reader, source, new Map())).rows) add(row.configuration);
  // The site has said them all.
  if (declared.length > 0) return values;
  const onDisk = async () => {
    const ignore = () => undefined;
    for (const folder of await weightsFolders(layout, { onUnreadable: ignore, onLink: ignore })) {
      const configuration = configurationOfFolder(layout, folder);
      if (configuration !== null) add(configuration);
    }
  };
  await Promise.race([onDisk(), new Promise((resolve) => setTimeout(resolve, patienceMs))]);
  return values;
}
