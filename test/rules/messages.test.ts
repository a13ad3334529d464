import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseSync } from "oxc-parser";
import { describe, expect, test } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";

const project = resolve(import.meta.dirname, "../..");

/** Programs in other languages, and a file that is written whole: no messages. */
const noMessages =
  /^src\/(?:evidence\/remote\/host-script|evidence\/schedulers\/slurm|cli\/commands\/completion|submit\/array-script|site\/initial-site-file|system\/libc\/libc-koffi|work\/row-values)\.ts$/;

const files = execFileSync("git", ["ls-files", "src/*.ts"], { cwd: project, encoding: "utf8" })
  .trim()
  .split("\n")
  .filter((file) => !file.endsWith(".d.ts") && !noMessages.test(file));

interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

interface Thrown {
  readonly file: string;
  readonly message: string;
  readonly hasHint: boolean;
}

/** Every text of more than one word in a file, `{…}` for what is put in, and every error of our own. */
function read(file: string): { readonly texts: readonly string[]; readonly thrown: readonly Thrown[] } {
  const source = readFileSync(join(project, file), "utf8");
  const texts = new Set<string>();
  const thrown: Thrown[] = [];
  const textOf = ({ type, value, quasis, expressions }: Node): string | null => {
    if (type === "Literal") return typeof value === "string" ? value : null;
    if (type !== "TemplateLiteral") return null;
    const inside = (expressions as Node[]).map(({ start, end }) => {
      const code = source.slice(start, end);
      return code.length < 40 && !/[`"'?]/.test(code) ? `{${code}}` : "{…}";
    });
    const parts = (quasis as { value: { cooked: string } }[]).map(({ value: { cooked } }) => cooked);
    return parts.map((part, index) => part + (inside[index] ?? "")).join("");
  };
  const visit = (node: unknown): void => {
    if (Array.isArray(node)) for (const each of node) visit(each);
    if (typeof node !== "object" || node === null || Array.isArray(node)) return;
    const { type } = node as Node;
    if (typeof type === "string" && /^(?:Import(?!Expression)|Export(?:All)|TS(?!As|NonNull|Satisfies))/.test(type))
      return;
    const text = textOf(node as Node);
    if (text !== null && isProse(text)) texts.add(text.trim().replaceAll("\n", "\\n"));
    if (type === "NewExpression") {
      const { callee, arguments: given } = node as unknown as { callee: Node; arguments: Node[] };
      const [message, details] = given;
      if (/^(?:Usage|Environment)Error$/.test(source.slice(callee.start, callee.end)) && message !== undefined) {
        const code = details === undefined ? "" : source.slice(details.start, details.end);
        const shown = textOf(message) ?? source.slice(message.start, message.end);
        thrown.push({ file, message: shown, hasHint: /\bhint\b|^\w+$|\.\.\./.test(code) });
      }
    }
    for (const inner of Object.values(node)) visit(inner);
  };
  visit(parseSync(file, source).program.body);
  return { texts: [...texts], thrown };
}

/** Two words or more, and neither HTML nor an example of code. */
function isProse(text: string): boolean {
  return /[a-z]{2,}[,:;]? [a-z(]/i.test(text) && !/<\/|<[a-z]+(?: [a-z-]+=|>\S)|<(?:tr|td|th|p|li|h\d)\b/.test(text);
}

const found = files.map((file) => ({ file, ...read(file) }));
const all = found.flatMap(({ file, texts }) => texts.map((text) => ({ file, text })));

const withPython = requiresPrograms("python3");

/** Prints each text of more than one word in a program in Python that is no comment on it. */
const pythonTexts = `
import ast, re, sys
tree = ast.parse(open(sys.argv[1], encoding="utf-8").read())
comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
texts = [
    node for node in ast.walk(tree)
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments
    and re.search(r"[a-z]{2,}[,:;]? [a-z({]", node.value, re.I)
]
for node in sorted(texts, key=lambda node: (node.lineno, node.col_offset)):
    print(node.value.strip().replace("\\n", "\\\\n"))
`;

/** What is said by the parts of a release that are not the executable. */
function besideText(): string {
  const python = execFileSync("python3", ["-c", pythonTexts, join(project, "python/training_lock.py")], {
    encoding: "utf8",
  });
  const said = (file: string, pattern: RegExp) =>
    [...readFileSync(join(project, file), "utf8").matchAll(pattern)].map(([, text = ""]) => `${text}\n`).join("");
  const installer = said("packaging/install.sh", /^.*?\b((?:fail|echo) "(?=[^"]* ).*?)(?: >&2)?$/gm);
  const starter = said("packaging/trainlock.mjs", /console\.error\((.*)\);/g);
  return `# python/training_lock.py\n${python}\n# packaging/install.sh\n${installer}\n# packaging/trainlock.mjs\n${starter}`;
}

describe("what the program says", () => {
  test("is in one list, which changes with the sources: npx vitest run test/rules/messages -u", async () => {
    const list = found
      .filter(({ texts }) => texts.length > 0)
      .map(({ file, texts }) => `# ${file}\n${texts.join("\n")}\n`)
      .join("\n");
    await expect(list).toMatchFileSnapshot("messages.txt");
  });

  withPython("what is said beside it, by training_lock.py and the installers, is in a list, too", async () => {
    await expect(besideText()).toMatchFileSnapshot("messages-beside.txt");
  });

  /** Words that have another name here, and those that people learn last. Texts that users know from before stay. */
  const notOurs =
    /\b(?:fcntl lock|standing|wish|heir|witness|succeeds|given? back|put in place|site proof|unfinished file|rank word|remaining children|hears?|told|tells us|he|his|him|please|e\.g\.|i\.e\.|amongst?|whilst|thereof|whence)\b/i;

  test("has one name for one thing, and no word that is hard to read", () => {
    expect(all.filter(({ text }) => notOurs.test(text))).toEqual([]);
  });

  withPython("nor has what is said beside it", () => {
    expect(
      besideText()
        .split("\n")
        .filter((line) => notOurs.test(line)),
    ).toEqual([]);
  });

  test("is not too long for one look", () => {
    expect(all.filter(({ file, text }) => text.length > (file.startsWith("src/cli/") ? 320 : 220))).toEqual([]);
  });

  test("names a way out where it is an error", () => {
    expect(found.flatMap(({ thrown }) => thrown.filter(({ hasHint }) => !hasHint))).toEqual([]);
  });
});
