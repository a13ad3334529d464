// Writes the manual pages, trainlock.1 and trainlock-COMMAND.1, from what the executable's help prints.
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Returns the names of the files that it has written into `folder`. */
export function writeManPages(executable, folder) {
  mkdirSync(folder, { recursive: true });
  const help = (...args) => execFileSync(executable, args, { encoding: "utf8", env: {} });
  const [version, date] = /^trainlock (\S+) \(commit [^,]+, (\S+)\)/.exec(help("--version")).slice(1);
  const source = { version, date };
  const overview = help("--help");
  const listed = /\nCommands:\n((?: .*\n)+)/.exec(overview)[1];
  const commands = [...listed.matchAll(/^ {2}([a-z][a-z-]*) {2,}/gm)].map(([, name]) => name);
  const pages = new Map([["trainlock", page("trainlock", overview, source, commands)]]);
  for (const name of commands)
    pages.set(`trainlock-${name}`, page(`trainlock-${name}`, help(name, "--help"), source, []));
  for (const [name, text] of pages) writeFileSync(join(folder, `${name}.1`), text);
  return [...pages.keys()].map((name) => `${name}.1`);
}

/** Help in sections, each a heading with a colon and indented lines, or paragraphs. */
function page(name, help, { version, date }, commands) {
  const [usage = "", summary = "", ...rest] = help.trimEnd().split(/\n\n(?! )/);
  const lines = [
    `.TH ${name.toUpperCase()} 1 "${date}" "trainlock ${version}" "User Commands"`,
    ".SH NAME",
    `${name} \\- ${roff(summary.split("\n")[0].replace(/\.$/, ""))}`,
    ".SH SYNOPSIS",
    ".nf",
    ...usage
      .replace(/^Usage: /, "")
      .split("\n")
      .map(roff),
    ".fi",
    ".SH DESCRIPTION",
    ...summary.split("\n").map(roff),
  ];
  for (const section of rest) {
    const [heading = "", ...body] = section.split("\n");
    if (!heading.endsWith(":") || body.length === 0) {
      lines.push(".PP", ...section.split("\n").map(roff));
      continue;
    }
    const title = heading === "Exit codes:" ? "EXIT STATUS" : heading.slice(0, -1).toUpperCase();
    lines.push(`.SH "${title}"`, ".nf", ...body.map(roff), ".fi");
  }
  const others = name === "trainlock" ? commands.map((each) => `trainlock-${each}`) : ["trainlock"];
  lines.push(".SH SEE ALSO", others.map((each) => `.BR ${each.replaceAll("-", "\\-")} (1)`).join(",\n"));
  return `${lines.join("\n")}\n`;
}

/** A line of text as troff(1) takes it: no control line, no escape, hyphens that can be copied. */
function roff(line) {
  return line
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replace(/^([.'])/, "\\&$1");
}
