/** What every command's help ends with. */
export function helpEnd(examples: readonly string[], exitCodes: Readonly<Record<string, string>>): string {
  const codes = Object.entries(exitCodes).map(([code, meaning]) => `  ${code.padEnd(8)} ${meaning}`);
  return `\nExamples:\n${examples.map((line) => `  ${line}`).join("\n")}\n\nExit codes:\n${codes.join("\n")}`;
}
