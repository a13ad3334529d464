import { readFileSync, readlinkSync } from "node:fs";
import { readProcText } from "./proc-files.ts";
import { readTreeProcess } from "./process-tree.ts";

/** Marks what a decoder could not read as UTF-8. */
const unreadable = "�";

/** What a second start of this program is given by the first (memory-limit.ts); no command sees either. */
export const restartVariable = "TRAINLOCK_RESTART";
/** The runtime's BUN_JSC_… under the name that the build gives it. */
export const smallReservation = { name: "TLR_JSC_jitMemoryReservationSize", value: "33554432" } as const;

/** Arguments and environment in base64, where they are not what the runtime makes of them. */
export interface Carried {
  readonly arguments: readonly string[];
  readonly environment: readonly string[];
}

/** For a second start by way of the runtime, which passes on text alone; null where text is all there is. */
export function carryCaller(): Carried | null {
  const all = [...givenArguments(), ...givenEnvironment()];
  const asText = all.every((entry) => Buffer.from(entry.toString()).equals(entry));
  const isPlain = asText && givenEnvironment().length === Object.keys(process.env).length;
  if (isPlain) return null;
  const inBase64 = (entries: readonly Buffer[]) => entries.map((entry) => entry.toString("base64"));
  return { arguments: inBase64(givenArguments()), environment: inBase64(givenEnvironment()) };
}

function carriedHere(): Carried | null {
  const text = process.env[restartVariable];
  try {
    return text === undefined || process.env[smallReservation.name] === undefined ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

function givenArguments(): Buffer[] {
  const carried = carriedHere();
  if (carried !== null) return carried.arguments.map((entry) => Buffer.from(entry, "base64"));
  return splitAtNul(readBytes("/proc/self/cmdline"));
}

function givenEnvironment(): Buffer[] {
  const carried = carriedHere();
  if (carried !== null) return carried.environment.map((entry) => Buffer.from(entry, "base64"));
  const raw = readBytes("/proc/self/environ");
  return raw.length > 0 ? splitAtNul(raw) : fromRuntime();
}

type CommandLine<Text> = readonly [Text, ...Text[]];

/**
 * The last arguments of this process as its caller wrote them, byte for byte (proc_pid_cmdline(5)): the runtime decodes them,
 * and what is not UTF-8 is lost on the way. `decoded` are the same arguments as the runtime has them.
 */
export function callerArguments(decoded: CommandLine<string>): CommandLine<string | Buffer> {
  if (!decoded.some((argument) => argument.includes(unreadable))) return decoded;
  const raw = givenArguments().slice(-decoded.length);
  const [program, ...rest] = raw;
  const same = raw.length === decoded.length && raw.every((bytes, at) => bytes.toString() === decoded[at]);
  return same && program !== undefined ? [program, ...rest] : decoded;
}

/** The environment of this process as its caller gave it, byte for byte, with these variables set in it. */
export function callerEnvironment(changes: Readonly<Record<string, string>>): readonly Buffer[] {
  const names = new Set([...Object.keys(changes), restartVariable, smallReservation.name]);
  const kept = givenEnvironment().filter((entry) => {
    const end = entry.indexOf("=");
    return end < 0 || !names.has(entry.toString("latin1", 0, end));
  });
  return [...kept, ...Object.entries(changes).map(([name, value]) => Buffer.from(`${name}=${value}`))];
}

function fromRuntime(): Buffer[] {
  return Object.entries(process.env).map(([name, value]) => Buffer.from(`${name}=${value ?? ""}`));
}

function readBytes(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch {
    return Buffer.alloc(0);
  }
}

/** Each entry ends with a NUL. */
function splitAtNul(bytes: Buffer): Buffer[] {
  const entries: Buffer[] = [];
  for (let from = 0; from < bytes.length; ) {
    const found = bytes.indexOf(0, from);
    const end = found < 0 ? bytes.length : found;
    entries.push(bytes.subarray(from, end));
    from = end + 1;
  }
  return entries;
}

/**
 * The soft limit of open files that our caller has (proc_pid_limits(5)): the runtime raises its own to the hard one before any
 * of our code runs. Null: it cannot be known, or is unlimited.
 */
export function callerOpenFilesLimit(): number | null {
  const found = /^Max open files +(\d+)/m.exec(readProcText(`/proc/${caller()}/limits`) ?? "")?.[1];
  return found === undefined ? null : Number(found);
}

/**
 * These give their children the signals that they ignore themselves: shells, and programs that start one other. Python and Node
 * do not.
 */
const passSignalsOn = /^(?:(?:ba|da|z|k|mk|a|c|tc|fi)?sh|timeout|setsid|time|xargs|make)$/;

/** Which of these signals our caller ignores and passes that on: asked where the runtime ignores them for itself. */
export function ignoredByCaller(signals: readonly number[]): readonly number[] {
  const status = readProcText(`/proc/${caller()}/status`) ?? "";
  if (!passSignalsOn.test(/^Name:\t(.*)$/m.exec(status)?.[1] ?? "")) return [];
  const ignored = BigInt(`0x${/^SigIgn:\t([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return signals.filter((signal) => ((ignored >> BigInt(signal - 1)) & 1n) === 1n);
}

/** Our parent; above trainlock itself (a run inside of a run, a row of `work`) the one that started that. */
function caller(): number {
  const own = exeOf(process.pid);
  let pid = process.ppid;
  while (own !== null && exeOf(pid) === own) pid = readTreeProcess(pid)?.parent ?? 0;
  return pid;
}

function exeOf(pid: number): string | null {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return null;
  }
}
