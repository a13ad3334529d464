import type * as Yaml from "yaml";

/** Nobody writes more levels; the parser takes 2 KiB for each. */
const mostLevels = 100;
/** What may begin a level. */
const beginnings = /[[{]|[-?](?=\s)/g;

/** The line on which a text is nested too deeply to be parsed; null: it is not. */
export function lineNestedTooDeeply({ Lexer }: typeof Yaml, text: string): number | null {
  // Most texts have so few that they need no closer look.
  if ((text.match(beginnings)?.length ?? 0) < mostLevels) return null;
  let line = 1;
  let brackets = 0;
  // Levels of blocks that begin on one line: `- - -`. On lines of their own each takes more blanks than the one before.
  let begun = 0;
  for (const token of new Lexer().lex(text)) {
    if (token === "[" || token === "{") brackets += 1;
    else if (token === "]" || token === "}") brackets -= 1;
    else if (token === "-" || token === "?") begun += 1;
    else if (token.includes("\n")) {
      line += token.split("\n").length - 1;
      begun = 0;
    }
    if (brackets + begun > mostLevels) return line;
  }
  return null;
}

/** What each alias stands for, found in one walk: the parser's own way is a walk for each. */
export function resolveAliases(yaml: typeof Yaml, document: Yaml.Document.Parsed): ReadonlyMap<Yaml.Alias, Yaml.Node> {
  const anchored = new Map<string, Yaml.Node>();
  const resolved = new Map<Yaml.Alias, Yaml.Node>();
  yaml.visit(document, {
    Alias: (_, alias) => {
      const node = anchored.get(alias.source);
      if (node !== undefined) resolved.set(alias, node);
    },
    Value: (_, node) => {
      if (node.anchor !== undefined) anchored.set(node.anchor, node);
    },
  });
  return resolved;
}
