import { existsSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { bunFfi } from "../libc/libc-bun.ts";

/** How a command ended. */
export type Ending =
  | { readonly kind: "exited"; readonly code: number }
  | { readonly kind: "signalled"; readonly signal: number; readonly coreDumped: boolean };

/** What waitpid(2) tells about a child. */
export type Change =
  | { readonly kind: "none" }
  | { readonly kind: "stopped"; readonly signal: number }
  | { readonly kind: "continued" }
  | Ending;

export type Spawned =
  | { readonly kind: "spawned"; readonly pid: number }
  | { readonly kind: "failed"; readonly errno: number };

export interface SpawnRequest {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Descriptors of ours that the command keeps, under the same numbers. */
  readonly keep: readonly number[];
  /** Signals to set back to their default; the runtime ignores or catches some that the command must not inherit so. */
  readonly defaultSignals: readonly number[];
}

/** WNOHANG, WUNTRACED and WCONTINUED of sys/wait.h. */
const waitOptions = 1 | 2 | 8;
/** POSIX_SPAWN_SETPGROUP, SETSIGDEF and SETSIGMASK of spawn.h. */
const spawnFlags = 0x02 | 0x04 | 0x08;
/** Larger than posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t of glibc are on any architecture. */
const opaqueBytes = 1024;

let loaded: ReturnType<typeof load> | undefined;

function load() {
  const ffi = bunFfi();
  const { symbols } = ffi.dlopen("libc.so.6", {
    posix_spawnp: { args: ["ptr", "ptr", "ptr", "ptr", "ptr", "ptr"], returns: "i32" },
    posix_spawnattr_init: { args: ["ptr"], returns: "i32" },
    posix_spawnattr_setflags: { args: ["ptr", "i16"], returns: "i32" },
    posix_spawnattr_setpgroup: { args: ["ptr", "i32"], returns: "i32" },
    posix_spawnattr_setsigdefault: { args: ["ptr", "ptr"], returns: "i32" },
    posix_spawnattr_setsigmask: { args: ["ptr", "ptr"], returns: "i32" },
    posix_spawn_file_actions_init: { args: ["ptr"], returns: "i32" },
    posix_spawn_file_actions_adddup2: { args: ["ptr", "i32", "i32"], returns: "i32" },
    sigemptyset: { args: ["ptr"], returns: "i32" },
    sigaddset: { args: ["ptr", "i32"], returns: "i32" },
    waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
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

function spawnOnce({ argv, env, keep, defaultSignals }: SpawnRequest): Spawned {
  const { symbols, ptr } = libc();
  // Everything the pointers below lead to must stay reachable until the call is over.
  const alive: (Uint8Array | BigUint64Array)[] = [];
  const opaque = () => {
    const bytes = new Uint8Array(opaqueBytes);
    alive.push(bytes);
    return ptr(bytes);
  };
  const text = (value: string) => {
    const bytes = Buffer.from(`${value}\0`);
    alive.push(bytes);
    return ptr(bytes);
  };
  const vector = (values: readonly string[]) => {
    const pointers = new BigUint64Array([...values.map((value) => BigInt(text(value))), 0n]);
    alive.push(pointers);
    return ptr(pointers);
  };
  const attributes = opaque();
  const actions = opaque();
  const signals = opaque();
  const mask = opaque();
  symbols.posix_spawnattr_init(attributes);
  symbols.posix_spawn_file_actions_init(actions);
  symbols.sigemptyset(signals);
  for (const signal of defaultSignals) symbols.sigaddset(signals, signal);
  symbols.sigemptyset(mask);
  symbols.posix_spawnattr_setsigdefault(attributes, signals);
  symbols.posix_spawnattr_setsigmask(attributes, mask);
  symbols.posix_spawnattr_setflags(attributes, spawnFlags);
  symbols.posix_spawnattr_setpgroup(attributes, 0);
  // A dup onto itself clears close-on-exec in the child alone (posix_spawn_file_actions_adddup2(3)).
  for (const fd of keep) symbols.posix_spawn_file_actions_adddup2(actions, fd, fd);
  const environment = Object.entries(env).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
  const pid = new Int32Array(1);
  const errno = symbols.posix_spawnp(ptr(pid), text(argv[0]), actions, attributes, vector(argv), vector(environment));
  const number = pid[0] ?? 0;
  if (errno === 0 && alive.length > 0) return { kind: "spawned", pid: number };
  return {
    kind: "failed",
    errno: errno === constants.errno.EACCES && isNowhere(argv[0], env) ? constants.errno.ENOENT : errno,
  };
}

/** execvp(3) reports EACCES also when a folder of PATH is closed to us and the command is in none of the others. */
function isNowhere(program: string, env: SpawnRequest["env"]): boolean {
  const folders = (env.PATH ?? "").split(":");
  return !program.includes("/") && !folders.some((folder) => existsSync(join(folder, program)));
}

/** Asks without waiting what became of a child. */
export function pollChild(pid: number): Change {
  const { symbols, ptr } = libc();
  const status = new Int32Array(1);
  if (symbols.waitpid(pid, ptr(status), waitOptions) <= 0) return { kind: "none" };
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

/** SIG_IGN of signal(7). */
export function ignoreSignal(signal: number): void {
  libc().symbols.signal(signal, 1n);
}
