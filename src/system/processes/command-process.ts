import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { bunFfi, openLibc } from "../libc/libc-bun.ts";
import { addressOf, systemCall } from "./system-calls.ts";

/** How a command ended. */
export type Ending =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "signalled"; readonly signal: number; readonly coreDumped: boolean };

/** What waitpid(2) returns about a child. */
export type Change =
  | { readonly kind: "none" }
  | { readonly kind: "stopped"; readonly signal: number }
  | { readonly kind: "continued" }
  | Ending;

export type Spawned =
  | { readonly kind: "spawned"; readonly pid: number }
  | { readonly kind: "failed"; readonly errno: number };

export interface SpawnRequest {
  /** Text, or bytes where they need not be UTF-8. */
  readonly argv: readonly [string | Uint8Array, ...(string | Uint8Array)[]];
  /** `NAME=value` each. */
  readonly environment: readonly Uint8Array[];
  /** Descriptors of ours that the command keeps, under the same numbers. */
  readonly keep: readonly number[];
  /** Signals to set back to their default; the runtime ignores or catches some that the command must not inherit so. */
  readonly defaultSignals: readonly number[];
  /** The soft limit of open files, where it is to be lower than ours. */
  readonly openFilesLimit?: number | null;
  /** Our descriptor that becomes its standard input, in a session of its own: a helper, and no command. */
  readonly apartWithInput?: number;
  /** Descriptors of ours and the numbers that they get in it, one after the other, before those that it keeps. */
  readonly descriptors?: readonly (readonly [ours: number, its: number])[];
}

/** WNOHANG, WUNTRACED and WCONTINUED of sys/wait.h. */
const waitOptions = 1 | 2 | 8;
/** POSIX_SPAWN_SETPGROUP, SETSIGDEF and SETSID of spawn.h. The mask of blocked signals stays as our caller gave it. */
const spawnFlags = { ownGroup: 0x02, defaultSignals: 0x04, ownSession: 0x80 } as const;
/** Larger than posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t of glibc are on any architecture. */
const opaqueBytes = 1024;

let loaded: ReturnType<typeof load> | undefined;

function load() {
  const ffi = bunFfi();
  const { symbols } = openLibc({
    posix_spawnp: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
    posix_spawnattr_init: { args: ["ptr"], returns: "i32" },
    posix_spawnattr_setflags: { args: ["ptr", "i16"], returns: "i32" },
    posix_spawnattr_setpgroup: { args: ["ptr", "i32"], returns: "i32" },
    posix_spawnattr_setsigdefault: { args: ["ptr", "ptr"], returns: "i32" },
    posix_spawn_file_actions_init: { args: ["ptr"], returns: "i32" },
    posix_spawn_file_actions_adddup2: { args: ["ptr", "i32", "i32"], returns: "i32" },
    tcgetpgrp: { args: ["i32"], returns: "i32" },
    tcsetpgrp: { args: ["i32", "i32"], returns: "i32" },
    getpgrp: { args: [], returns: "i32" },
    signal: { args: ["i32", "u64"], returns: "u64" },
  });
  return { symbols, ptr: ffi.ptr };
}

function libc() {
  loaded ??= load();
  return loaded;
}

/**
 * Starts a command in a process group of its own, in our session: signals reach all of it, and the terminal can be lent to
 * it. posix_spawn(3) because the runtime's own spawn can only make a new session, which has no terminal.
 */
export function spawnCommand(request: SpawnRequest): Spawned {
  const first = spawnOnce(request);
  // A script without `#!` is for the shell, as execvp(3) has it.
  if (first.kind === "failed" && first.errno === constants.errno.ENOEXEC) {
    return spawnOnce({ ...request, argv: ["/bin/sh", ...request.argv] });
  }
  return first;
}

function spawnOnce(request: SpawnRequest): Spawned {
  const { argv, environment, keep, defaultSignals, openFilesLimit = null, apartWithInput, descriptors = [] } = request;
  const { symbols, ptr } = libc();
  // Everything the pointers below lead to must stay reachable until the call is over.
  const alive: (Uint8Array | BigUint64Array)[] = [];
  const opaque = () => {
    const bytes = new Uint8Array(opaqueBytes);
    alive.push(bytes);
    return ptr(bytes);
  };
  const text = (value: string | Uint8Array) => {
    const bytes = Buffer.concat([typeof value === "string" ? Buffer.from(value) : value, endOfText]);
    alive.push(bytes);
    return ptr(bytes);
  };
  const vector = (values: readonly (string | Uint8Array)[]) => {
    const pointers = new BigUint64Array([...values.map((value) => BigInt(text(value))), 0n]);
    alive.push(pointers);
    return ptr(pointers);
  };
  const attributes = opaque();
  const actions = opaque();
  symbols.posix_spawnattr_init(attributes);
  symbols.posix_spawn_file_actions_init(actions);
  const signals = signalSet(defaultSignals);
  symbols.posix_spawnattr_setsigdefault(attributes, ptr(signals));
  const apart = apartWithInput === undefined ? spawnFlags.ownGroup : spawnFlags.ownSession;
  symbols.posix_spawnattr_setflags(attributes, spawnFlags.defaultSignals | apart);
  if (apartWithInput === undefined) symbols.posix_spawnattr_setpgroup(attributes, 0);
  else symbols.posix_spawn_file_actions_adddup2(actions, apartWithInput, 0);
  for (const [ours, its] of descriptors) symbols.posix_spawn_file_actions_adddup2(actions, ours, its);
  // A dup onto itself clears close-on-exec in the child alone (posix_spawn_file_actions_adddup2(3)).
  for (const fd of keep) symbols.posix_spawn_file_actions_adddup2(actions, fd, fd);
  const pid = new Int32Array(1);
  const program = text(argv[0]);
  const [argumentVector, environmentVector] = [vector(argv), vector(environment)];
  const errno = withOpenFilesLimit(openFilesLimit, keep, () =>
    symbols.posix_spawnp(ptr(pid), program, actions, attributes, argumentVector, environmentVector),
  );
  const number = pid[0] ?? 0;
  if (errno === 0 && alive.length > 0) return { kind: "spawned", pid: number };
  return {
    kind: "failed",
    errno: errno === constants.errno.EACCES && isNowhere(argv[0].toString()) ? constants.errno.ENOENT : errno,
  };
}

const endOfText = new Uint8Array(1);

/** A sigset_t: signal n is bit n - 1. */
function signalSet(signals: readonly number[]): Uint8Array {
  const set = new Uint8Array(opaqueBytes);
  for (const signal of signals) set[(signal - 1) >> 3] = (set[(signal - 1) >> 3] ?? 0) | (1 << ((signal - 1) & 7));
  return set;
}

/** RLIMIT_NOFILE of sys/resource.h. */
const openFiles = 7;

/**
 * Runs `start` under a lower soft limit of open files: what it starts inherits that, posix_spawn(3) has no other way. Not below
 * a descriptor that is handed over, which could not be.
 */
function withOpenFilesLimit(limit: number | null, keep: readonly number[], start: () => number): number {
  if (limit === null || keep.some((fd) => fd >= limit)) return start();
  const before = new BigUint64Array(2);
  if (systemCall("prlimit64", 0, openFiles, 0, addressOf(before)) !== 0) return start();
  const [soft = 0n, hard = 0n] = before;
  if (BigInt(limit) >= soft) return start();
  const lower = new BigUint64Array([BigInt(limit), hard]);
  systemCall("prlimit64", 0, openFiles, addressOf(lower), 0);
  try {
    return start();
  } finally {
    systemCall("prlimit64", 0, openFiles, addressOf(before), 0);
  }
}

/** execvp(3) reports EACCES also when a folder of PATH is closed to us and the command is in none of the others. */
function isNowhere(program: string): boolean {
  const folders = (process.env.PATH ?? "").split(":");
  return !program.includes("/") && !folders.some((folder) => existsSync(join(folder, program)));
}

/** Asks without waiting what became of a child. */
export function pollChild(pid: number): Change {
  const status = new Int32Array(1);
  if (systemCall("wait4", pid, addressOf(status), waitOptions, 0) <= 0) return { kind: "none" };
  const word = status[0] ?? 0;
  if (word === 0xffff) return { kind: "continued" };
  if ((word & 0xff) === 0x7f) return { kind: "stopped", signal: (word >> 8) & 0xff };
  const signal = word & 0x7f;
  if (signal === 0) return { kind: "exited", code: (word >> 8) & 0xff };
  return { kind: "signalled", signal, coreDumped: (word & 0x80) !== 0 };
}

/** The process group in the foreground of the terminal behind `fd`; null when that is no terminal of ours. */
export function foregroundGroup(fd: number): number | null {
  const group = libc().symbols.tcgetpgrp(fd);
  return group > 0 ? group : null;
}

/** Lends the terminal to a process group. SIGTTOU must be ignored, or a background caller is stopped (tcsetpgrp(3)). */
export function setForegroundGroup(fd: number, group: number): void {
  libc().symbols.tcsetpgrp(fd, group);
}

export function ownGroup(): number {
  return libc().symbols.getpgrp();
}

/** SIG_DFL of signal(7). */
export function resetSignal(signal: number): void {
  libc().symbols.signal(signal, 0n);
}

/** SIG_IGN of signal(7). */
export function ignoreSignal(signal: number): void {
  libc().symbols.signal(signal, 1n);
}
