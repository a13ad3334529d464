import { exitCodes, UsageError } from "../../model/errors.ts";
import { defineCommand, type LoadCommands, optionalOperand } from "../command.ts";
import { commandHelp, indented, programHelp } from "../help.ts";
import { print } from "../output.ts";
import { nearestHint } from "../parse-call.ts";
import { pageText } from "../show/page-text.ts";
import { printPaged } from "../show/pager.ts";
import { paintFor } from "../show/paint.ts";
import { terminalColumns } from "../show/wrapped.ts";
import { helpPages } from "./help-pages.ts";

const topics = Object.keys(helpPages).sort();

export const command = defineCommand({
  summary: "explain a command, or print a page of the documentation",
  operands: { what: optionalOperand("a command, or a page") },
  notes: `Pages: ${topics.join(", ")}. A page that has the name of a command is given as its file, such as work.md.`,
  examples: ["trainlock help run", "trainlock help verdicts | less"],
  exitCodes: { 0: "printed", 2: "there is no such command or page" },
  execute: ({ what }, commands) => help(what ?? null, commands),
});

async function help(what: string | null, loadCommands: LoadCommands): Promise<number> {
  const commands = await loadCommands();
  const named = what === null ? undefined : commands.get(what);
  const fileOrName = (topic: string) => (commands.has(topic) ? `${topic}.md` : topic);
  if (what === null) {
    const pages = indented(topics.map(fileOrName).join(", "), 2);
    print(`${programHelp(commands)}\nPages of \`trainlock help PAGE\`:\n${pages}\n`);
  } else if (named !== undefined && named.hidden !== true) print(commandHelp(what, named));
  else showPage(pageOf(what, [...commands.keys()]), fileOrName);
  return exitCodes.ok;
}

/** A pipe gets the page as it is written. */
function showPage(page: string, fileOrName: (topic: string) => string): void {
  const columns = terminalColumns();
  if (columns === null) {
    print(page);
    return;
  }
  const topicOf = (file: string) => {
    const topic = file.replace(/\.md$/, "");
    return file.endsWith(".md") && Object.hasOwn(helpPages, topic) ? fileOrName(topic) : null;
  };
  printPaged(pageText(page, { columns, topicOf, strong: paintFor(1, true).strong }));
}

/** `docs/etcd.md`, as messages and pages name it, is `etcd`. */
function pageOf(what: string, names: readonly string[]): string {
  const topic = what.replace(/^docs\//, "").replace(/\.md$/, "");
  const page = Object.hasOwn(helpPages, topic) ? helpPages[topic] : undefined;
  if (page !== undefined) return page;
  const hint = nearestHint(topic, [...topics, ...names.filter((name) => !name.startsWith("_"))], "see trainlock help");
  throw new UsageError(`there is no command and no page ${JSON.stringify(what)}`, { hint });
}
