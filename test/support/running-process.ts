import { type ChildProcessByStdio, spawn } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { afterEach } from "vitest";

export interface Finished {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface StartOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** A process that is still there after so long is killed, and the wait for it fails. */
  readonly timeoutMs?: number;
  /** Finished only when all that it started has closed its output, too. Else that is waited for half a second at most. */
  readonly untilOutputCloses?: true;
}

export interface RunningProcess {
  readonly pid: number;
  readonly startedAt: number;
  stdout(): string;
  stderr(): string;
  /** Resolves once stdout contains the text; rejects when the process ends or the time is over before that. */
  waitFor(text: string): Promise<void>;
  /** To this process only. */
  kill(signal: NodeJS.Signals): void;
  /** The end of input: how peers and commands in these tests are asked to leave. */
  closeInput(): void;
  writeLine(text: string): void;
  readonly finished: Promise<Finished>;
}

const defaultTimeoutMs = 40_000;
const stillRunning = new Set<() => Promise<void>>();

// A failed test must not leave a holder behind. Commands in these tests end with their input, so that what a killed
// wrapper leaves over goes away as well, even when the whole test run is killed.
afterEach(async () => {
  await Promise.all([...stillRunning].map((stop) => stop()));
});

/** Starts a program. Whatever happens, it is over after the test. */
export function startProcess(file: string, args: readonly string[], options: StartOptions = {}): RunningProcess {
  const startedAt = performance.now();
  const child: ChildProcessByStdio<Writable, Readable, Readable> = spawn(file, args, {
    stdio: ["pipe", "pipe", "pipe"],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
  });
  const spawnedPid = child.pid;
  const described = [file, ...args].join(" ");
  let stdout = "";
  let stderr = "";
  let over = false;
  const onOutput = new Set<() => void>();
  const heard = () => {
    for (const listener of onOutput) listener();
  };
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    heard();
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text;
  });
  // A peer that was turned away no longer reads: its closed pipe is no failure of the test.
  child.stdin.on("error", () => {});

  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const finished = new Promise<Finished>((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      reject(new Error(`still running after ${timeoutMs} ms: ${described}\n${stdout}${stderr}`));
    }, timeoutMs);
    const end = (settle: () => void) => {
      clearTimeout(timer);
      over = true;
      stillRunning.delete(stop);
      heard();
      settle();
    };
    child.on("error", (error) => end(() => reject(error)));
    child.on("exit", (exitCode, signal) => {
      // What a process wrote arrives before its pipes close. A grandchild may keep them open for long.
      const settled = () => {
        clearTimeout(patience);
        child.removeListener("close", settled);
        end(() => resolve({ stdout, stderr, exitCode, signal }));
      };
      const patience = options.untilOutputCloses ? undefined : setTimeout(settled, 500);
      child.on("close", settled);
    });
  });
  // A test that no longer awaits this one must not turn its end into an unhandled rejection.
  finished.catch(() => {});

  const stop = async () => {
    child.stdin.destroy();
    // A stopped process is ended by SIGKILL, too.
    child.kill("SIGKILL");
    await finished.catch(() => {});
  };
  if (spawnedPid !== undefined) stillRunning.add(stop);

  return {
    get pid() {
      if (spawnedPid === undefined) throw new Error(`did not start: ${described}`);
      return spawnedPid;
    },
    startedAt,
    stdout: () => stdout,
    stderr: () => stderr,
    waitFor: (text) =>
      new Promise((resolve, reject) => {
        const fail = (why: string) =>
          reject(new Error(`${why} before ${JSON.stringify(text)}: ${described}\n${stdout}${stderr}`));
        const timer = setTimeout(() => settle(() => fail(`nothing within ${timeoutMs} ms`)), timeoutMs);
        const settle = (how: () => void) => {
          clearTimeout(timer);
          onOutput.delete(look);
          how();
        };
        const look = () => {
          if (stdout.includes(text)) settle(resolve);
          else if (over) settle(() => fail("ended"));
        };
        onOutput.add(look);
        look();
      }),
    kill: (signal) => {
      child.kill(signal);
    },
    closeInput: () => {
      child.stdin.end();
    },
    writeLine: (text) => {
      child.stdin.write(`${text}\n`);
    },
    finished,
  };
}

/** Starts a program without input and waits for its end. */
export function finish(file: string, args: readonly string[], options: StartOptions = {}): Promise<Finished> {
  const running = startProcess(file, args, options);
  running.closeInput();
  return running.finished;
}
