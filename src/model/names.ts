import { UsageError } from "./errors.ts";

const longestName = 255;

/** Why a text cannot become part of a path, in words; null when it can. Never a path itself, never invisible. */
export function nameProblem(value: string): string | null {
  if (value.trim() === "") return "is empty";
  if (value === "." || value === "..") return "is not a name";
  if (value.includes("/")) return "contains '/'";
  if (/\p{Cc}/u.test(value)) return "contains a control character";
  if (/\p{Cs}/u.test(value) || value.includes("\uFFFD")) return "is not valid UTF-8";
  if (Buffer.byteLength(value) > longestName) return `is longer than ${longestName} bytes`;
  return null;
}

/** A name that a caller gave by `flag`. Throws {@link UsageError} that names the flag and the value. */
export function requireName(flag: string, value: string | undefined): string {
  if (value === undefined)
    throw new UsageError(`${flag} is missing`, {
      hint: "for example --strategy baseline --dataset IDD-AW --model pspnet_r50, or --name baseline/idd-aw/pspnet_r50",
    });
  const problem = nameProblem(value);
  if (problem === null) return value;
  throw new UsageError(`${flag} ${JSON.stringify(value)} ${problem}`, {
    hint: `${flag} names a folder: letters, digits, '-', '_', '+', '.'`,
  });
}

/** Whether a name looks like a list, a pattern or a placeholder of a grid, which no single configuration has. */
export function looksLikeSeveral(name: string): boolean {
  return /[,*?{}[\]"']/.test(name);
}
