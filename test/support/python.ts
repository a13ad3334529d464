import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Finished, finish, type RunningProcess, startProcess } from "./running-process.ts";
import { environment, executable } from "./trainlock.ts";
import { until } from "./until.ts";

const fromHere = (path: string) => fileURLToPath(new URL(path, import.meta.url));
/** The folder of training_lock.py. */
export const pythonFolder = fromHere("../../python");
/** The folder of old_training_lock.py. */
const peersFolder = fromHere("peers");

export interface PythonOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly interpreter?: string;
  readonly cwd?: string;
  readonly timeoutMs?: number;
  /** How long a session waits for each answer. */
  readonly answerMs?: number;
}

/** What a Python program under a root finds: both modules to import, and the executable. */
export function pythonEnvironment(root: string, extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return environment({
    AWARE_DATA_ROOT: root,
    TRAINLOCK_BIN: executable,
    PYTHONPATH: `${pythonFolder}:${peersFolder}`,
    PYTHONDONTWRITEBYTECODE: "1",
    PYTHONUNBUFFERED: "1",
    ...extra,
  });
}

/** Runs a program to its end. */
export function python(
  root: string,
  script: string,
  args: readonly string[] = [],
  options: PythonOptions = {},
): Promise<Finished> {
  return finish(options.interpreter ?? "python3", ["-c", script, ...args], startOptions(root, options));
}

export function startPython(
  root: string,
  script: string,
  args: readonly string[] = [],
  options: PythonOptions = {},
): RunningProcess {
  return startProcess(options.interpreter ?? "python3", ["-c", script, ...args], startOptions(root, options));
}

function startOptions(root: string, { env, cwd, timeoutMs }: PythonOptions) {
  return {
    env: pythonEnvironment(root, env),
    ...(cwd === undefined ? {} : { cwd }),
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  };
}

/** A Python program that is told one thing after the other, and has a `lock`. */
export interface PythonSession {
  readonly process: RunningProcess;
  /** The value of an expression, as JSON has it; null of statements. Fails where it raises. */
  tell(text: string): Promise<unknown>;
  /** `NAME: message` of what it raises. Fails where it does not. */
  raised(text: string): Promise<string>;
}

interface Answer {
  readonly value?: unknown;
  readonly raised?: string;
  readonly message?: string;
}

export function pythonSession(root: string, options: PythonOptions = {}): PythonSession {
  const program = fromHere("../python/session.py");
  const running = startProcess(options.interpreter ?? "python3", [program], {
    timeoutMs: 60_000,
    ...startOptions(root, options),
  });
  let answers = 0;
  const ask = async (text: string): Promise<Answer> => {
    running.writeLine(JSON.stringify(text));
    answers += 1;
    const mine = answers;
    const line = () => running.stdout().split("\n").slice(0, -1)[mine - 1] ?? null;
    return JSON.parse(await until(`an answer to ${text}: ${running.stderr()}`, line, options.answerMs ?? 20_000));
  };
  return {
    process: running,
    tell: async (text) => {
      const { value, raised, message } = await ask(text);
      if (raised !== undefined) throw new Error(`${text} raised ${raised}: ${message}`);
      return value;
    },
    raised: async (text) => {
      const { raised, message } = await ask(text);
      if (raised === undefined) throw new Error(`${text} raised nothing`);
      return `${raised}: ${message}`;
    },
  };
}

/** Every Python 3 that can be found here beside the usual one, by its version. */
export function otherInterpreters(): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  const pyenv = process.env.PYENV_ROOT ?? join(process.env.HOME ?? "/", ".pyenv");
  for (const folder of [join(pyenv, "versions"), ...(process.env.PATH ?? "").split(":")]) {
    for (const name of namesIn(folder)) {
      const version = name === "pypy3" ? "PyPy" : /^(?:python)?(3\.\d+)(?:\.\d+)?$/.exec(name)?.[1];
      if (version === undefined) continue;
      const path = /^py/.test(name) ? join(folder, name) : join(folder, name, "bin", "python");
      // A shim of pyenv is no interpreter by itself.
      if (!folder.endsWith("/shims") && !found.has(version)) found.set(version, path);
    }
  }
  return found;
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
