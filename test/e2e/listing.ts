import { lstatSync } from "node:fs";

export interface ExpectedLock {
  readonly kind: "file" | "fcntl";
  readonly name: string;
  readonly label: string;
  /** The middle line, from `PID:` to the time. */
  readonly known: string;
  readonly path: string;
}

const headings = { file: "File-based locks (.training_lock)", fcntl: "fcntl-based locks" };

/** What `list` prints for these locks, byte for byte. Sections without a lock are left out. */
export function listing(locks: readonly ExpectedLock[]): string {
  if (locks.length === 0) return "No active training locks\n";
  const section = (kind: ExpectedLock["kind"]) => {
    const ofKind = locks.filter((lock) => lock.kind === kind).sort((a, b) => (a.name < b.name ? -1 : 1));
    if (ofKind.length === 0) return "";
    return `=== ${headings[kind]} (${ofKind.length}) ===\n${ofKind.map(block).join("")}\n`;
  };
  return `${section("file")}${section("fcntl")}Total locks: ${locks.length}\n`;
}

function block({ name, label, known, path }: ExpectedLock): string {
  return `  - ${name} [${label}]\n    ${known}\n    Lock file: ${path}\n`;
}

/** When a file was last written, as Python's `datetime.isoformat` has it: local, to the microsecond. */
export function writtenAt(path: string): string {
  const nanoseconds = lstatSync(path, { bigint: true }).mtimeNs;
  const date = new Date(Number(nanoseconds / 1_000_000n));
  const local = new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 19);
  return `${local}.${String((nanoseconds / 1_000n) % 1_000_000n).padStart(6, "0")}`;
}
