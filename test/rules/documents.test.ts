import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { expect, test } from "vitest";

const project = resolve(import.meta.dirname, "../..");
const documents = execFileSync("git", ["ls-files", "*.md"], { cwd: project, encoding: "utf8" })
  .split("\n")
  .filter((path) => path !== "" && !path.startsWith("test/fixtures/") && existsSync(join(project, path)));

/** The lines of a page that are prose: no code, no table, no line that is a link alone. */
function proseLines(text: string): { line: number; content: string }[] {
  let inCode = false;
  return text.split("\n").flatMap((content, index) => {
    if (/^\s*```/.test(content)) inCode = !inCode;
    const isProse = !inCode && !/^\s*(\||```)/.test(content);
    return isProse ? [{ line: index + 1, content }] : [];
  });
}

/** What one reads who begins: all of it in an hour. */
const guides = ["tutorial", "troubleshooting", "launchers", "work", "grids", "python", "job-scripts", "upgrading"];
const mostWords = 9000;

test(`README and guides have at most ${mostWords} words beside their code, and say nothing twice`, () => {
  const texts = ["README.md", ...guides.map((name) => `docs/${name}.md`)].map((path) =>
    readFileSync(join(project, path), "utf8").replaceAll(/^\s*```[\s\S]*?^\s*```/gm, ""),
  );
  expect(texts.join(" ").split(/\s+/).length).toBeLessThanOrEqual(mostWords);
  const sentences = texts.flatMap((text) =>
    text
      .split(/\n\n|\n(?=[-|#])|(?<=[.:])\s/)
      .map((sentence) => sentence.replaceAll(/\s+/g, " ").trim())
      .filter((sentence) => sentence.split(" ").length > 8),
  );
  expect(sentences.filter((sentence, index) => sentences.indexOf(sentence) < index)).toEqual([]);
});

/** The anchors of a page as GitHub makes them: lower case, words with hyphens, nothing but letters, digits, `_` and `-`. */
function anchorsOf(text: string): Set<string> {
  const counts = new Map<string, number>();
  return new Set(
    proseLines(text).flatMap(({ content }) => {
      const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(content)?.[1];
      if (heading === undefined) return [];
      const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase();
      const anchor = words.replaceAll(/[^\p{L}\p{N}_ -]/gu, "").replaceAll(" ", "-");
      const before = counts.get(anchor) ?? 0;
      counts.set(anchor, before + 1);
      return [before === 0 ? anchor : `${anchor}-${before}`];
    }),
  );
}

test("there are documents", () => {
  expect(documents).toContain("README.md");
  expect(documents.length).toBeGreaterThan(8);
});

test("every page in docs but the index and the architecture is in the executable", () => {
  const pages = documents.filter((path) => /^docs\/(?!README|architecture)/.test(path));
  const help = readFileSync(join(project, "src/cli/commands/help-pages.ts"), "utf8");
  expect(pages.filter((path) => !help.includes(`../${path}"`))).toEqual([]);
});

test.each(documents)("%s: every link leads to a file and a heading that are there", (path) => {
  const text = readFileSync(join(project, path), "utf8");
  const links = proseLinks(text).filter((target) => !/^[a-z]+:/i.test(target));
  expect(links.flatMap((target) => problemOf(path, target))).toEqual([]);
});

function proseLinks(text: string): string[] {
  const withoutCode = text.replaceAll(/```[\s\S]*?```/g, "").replaceAll(/`[^`\n]*`/g, "");
  return [...withoutCode.matchAll(/\]\(([^()\s]+)(?:\s+"[^"]*")?\)/g)].map(([, target]) => target ?? "");
}

function problemOf(path: string, target: string): string[] {
  const [file = "", anchor] = decodeURIComponent(target).split("#");
  const leadsTo = file === "" ? join(project, path) : join(project, dirname(path), file);
  if (!existsSync(leadsTo)) return [`${target}: no such file`];
  if (anchor === undefined || !leadsTo.endsWith(".md") || statSync(leadsTo).isDirectory()) return [];
  return anchorsOf(readFileSync(leadsTo, "utf8")).has(anchor) ? [] : [`${target}: no such heading`];
}

test("what one cites is the version that package.json and the changelog name, with its date", () => {
  const { version } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
  const cited = readFileSync(join(project, "CITATION.cff"), "utf8");
  const [, date = "none"] = /^date-released: (.+)$/m.exec(cited) ?? [];
  expect(cited).toContain(`\nversion: ${version}\n`);
  expect(readFileSync(join(project, "CHANGELOG.md"), "utf8")).toContain(`\n## [${version}] - ${date}\n`);
});
