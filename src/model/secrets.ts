/** Stands where the value of a secret was. */
export const leftOut = "***";

/** Words of a name that make its value a secret: `apiKey`, `HF_TOKEN`, `--db.password`, `secret2`. */
const secretWord =
  /^(?:\w*(?:key|token|password|passwd|passphrase|secret|credential)s?\d*|pass|pwd|auth|authorization)$/i;
/** Several values may follow one option of such a name: `--tokens A B`. */
const plural = /s\d*$/i;

const optionWithValue = /^(?<head>(?<name>[-+~]*[A-Za-z_][\w.\-/@[\]]*)[=:])(?<value>[\s\S]*)$/;
/** `Authorization: Bearer …`, `X-Api-Key: …`: all that follows the name is the value. */
const header = /^(?<head>(?<name>[A-Za-z][\w-]*):[ \t]*)(?<value>[\s\S]+)$/;
/** Within a text: a shell's `NAME=value`, `--name value`, `"name": "value"`, `?name=value&`. */
const namedInText = /(?<name>[-+]*[A-Za-z_][\w.-]*)(?<between>\\?["']?(?:\s*[=:]\s*|\s+))/y;
/** Up to where a word of a shell, a text of JSON or a part of an address ends; a quote that is left open takes the rest. */
const valueInText =
  /\\"(?:(?!\\")[\s\S])*(?:\\"|$)|"(?:\\[\s\S]|[^"\\])*(?:"|$)|'[^']*(?:'|$)|(?:\\[^"]|[^\s"'\\;&|)}\],]|"[^\s"'\\;&|)}\],]+"|'[^\s"'\\;&|)}\],]+')+/y;
const authorization = /(?<head>\bauthorization\\?["']?\s*[:=]\s*\\?["']?)(?:[a-z]+ +)?[^\s"'\\]+/gi;
const bearer = /\b(?<head>bearer +)[^\s"'\\]+/gi;
/** `https://alice:PASSWORD@host/`. */
const inAddress = /(?<head>\b[a-z][a-z0-9+.-]{0,30}:\/\/[^\s/@:]{0,300}:)[^\s/@]+@/gi;

/** Whether a name says that its value is a secret: one of its words is key, token, password, secret or the like. */
function namesSecret(name: string): boolean {
  const words = name
    .replace(/([a-z0-9])([A-Z])/g, "$1 $2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1 $2")
    .split(/[^A-Za-z0-9]+/);
  return words.some((word) => secretWord.test(word));
}

/**
 * A command as it may be written where others read it: program and options stay, the value of whatever is named like a key, a
 * token, a password or a secret is left out. Rather one value too many than one too few.
 */
export function withoutSecrets(command: readonly string[]): readonly string[] {
  const kept: string[] = [];
  /** `one`: the next argument is a secret; `all`: so is each until the next option. */
  let expected: "none" | "one" | "all" = "none";
  for (const [index, argument] of command.entries()) {
    const isValue = expected !== "none" && !startsOption(argument);
    if (isValue) {
      kept.push(leftOut);
      if (expected === "one") expected = "none";
      continue;
    }
    const isProgram = index === 0 || /^-[a-z]*c$/.test(command[index - 1] ?? "");
    kept.push(isProgram ? withoutTextSecrets(argument) : withoutSecret(argument));
    expected = awaited(argument);
  }
  return kept;
}

/** What an argument says of those after it. */
function awaited(argument: string): "none" | "one" | "all" {
  if (!/^-{1,2}[A-Za-z][\w.-]*$/.test(argument) || !namesSecret(argument)) return "none";
  return plural.test(argument) ? "all" : "one";
}

/** A value may begin with a dash as well: what is no plain option counts as one. */
function startsOption(argument: string): boolean {
  return /^(?:--[A-Za-z][\w.-]*(?:=[\s\S]*)?|-[A-Za-z]|--)$/.test(argument);
}

function withoutSecret(argument: string): string {
  for (const shape of [optionWithValue, header]) {
    const { head, name, value } = shape.exec(argument)?.groups ?? {};
    if (head !== undefined && name !== undefined && value !== undefined && namesSecret(name))
      return value === "" ? argument : `${head}${leftOut}`;
  }
  return withoutTextSecrets(argument);
}

/** The same for a text that is a program of its own: the value ends where a shell, JSON or an address would end it. */
function withoutTextSecrets(text: string): string {
  const plain = text
    .replace(authorization, `$<head>${leftOut}`)
    .replace(bearer, `$<head>${leftOut}`)
    .replace(inAddress, `$<head>${leftOut}@`);
  let shown = "";
  for (let at = 0; at < plain.length; ) {
    const secret = secretAt(plain, at);
    shown += secret?.shown ?? plain[at];
    at = secret?.end ?? at + 1;
  }
  return shown;
}

/** A name that begins here, with its value if that is a secret. Null: no name begins here. */
function secretAt(text: string, at: number): { readonly shown: string; readonly end: number } | null {
  if (/[\w.-]/.test(text[at - 1] ?? "")) return null;
  namedInText.lastIndex = at;
  const { name, between } = namedInText.exec(text)?.groups ?? {};
  if (name === undefined || between === undefined) return null;
  const start = at + name.length + between.length;
  const isGiven = /[=:]/.test(between) || (name.startsWith("-") && !/^-/.test(text.slice(start)));
  if (!isGiven || !namesSecret(name)) return { shown: name, end: at + name.length };
  valueInText.lastIndex = start;
  const value = valueInText.exec(text)?.[0] ?? "";
  const quote = /^(\\?["'])[\s\S]*\1$/.exec(value)?.[1] ?? "";
  return { shown: `${name}${between}${value === "" ? "" : quote + leftOut + quote}`, end: start + value.length };
}
