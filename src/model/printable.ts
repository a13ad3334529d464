/**
 * Text from a lock file, fit for a terminal: control characters, direction marks and lone surrogates are shown as escapes,
 * so that a record can neither move the cursor nor pass for another line.
 */
export function printable(text: string): string {
  // Most texts are plain, of names by the hundred thousand.
  if (/^[ -~]*$/.test(text)) return text;
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}
