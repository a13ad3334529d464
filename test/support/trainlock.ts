import { existsSync, readFileSync } from "node:fs";
import { userInfo } from "node:os";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { isRunning } from "./process-state.ts";
import { type Finished, finish, type RunningProcess, type StartOptions, startProcess } from "./running-process.ts";
import { until } from "./until.ts";

export const executable = fileURLToPath(new URL("../../dist/trainlock", import.meta.url));
if (!existsSync(executable)) throw new Error(`${executable} is not there: npm run build`);

/** Long enough for a loaded machine, short enough to tell a hang. */
const hangMs = 10_000;

/**
 * The environment every call starts from: nothing of the developer's own roots, jobs or colours reaches a test, and the
 * user is who the kernel says.
 */
export function environment(extra: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  const user = userInfo().username;
  return { PATH: process.env.PATH, HOME: process.env.HOME, USER: user, LOGNAME: user, LANG: "C.UTF-8", ...extra };
}

export interface CallOptions extends Omit<StartOptions, "env"> {
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs the executable to its end, without input. */
export function trainlock(args: readonly string[], options: CallOptions = {}): Promise<Finished> {
  return finish(executable, args, { timeoutMs: hangMs, ...options, env: environment(options.env) });
}

/** Runs any command to its end, without input, until all that it started has closed its output. */
export function run(command: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Finished> {
  const [file = "", ...args] = command;
  return finish(file, args, { env: environment(env), timeoutMs: 30_000, untilOutputCloses: true });
}

/** Starts the executable and leaves it running until the test ends it. */
export function startTrainlock(args: readonly string[], options: CallOptions = {}): RunningProcess {
  return startProcess(executable, args, { timeoutMs: 60_000, ...options, env: environment(options.env) });
}

export interface Holder extends RunningProcess {
  /** Of the command, not of the wrapper. */
  readonly commandPid: number;
  readonly generation: number;
}

/** A `run` that holds the configuration, its command well under way. The command ends with its input. */
export function holdWithRun(args: readonly string[], options: CallOptions = {}): Promise<Holder> {
  return hold(args, "exec cat >/dev/null", options);
}

/**
 * The same with a command that goes on when its wrapper is killed, as a training does. One process that starts no other,
 * so that nothing else has the lock's descriptor; it ends with the test, at the latest with the test's process.
 */
export async function holdWithLastingCommand(args: readonly string[], options: CallOptions = {}): Promise<Holder> {
  const watched = `--pid=${process.pid}`;
  const holder = await hold(args, `exec tail -f ${watched} /dev/null`, options);
  onTestFinished(() => {
    // Only if the PID still is that command's.
    if (commandLine(holder.commandPid).includes(watched)) process.kill(holder.commandPid, "SIGKILL");
  });
  return holder;
}

/** Kills a wrapper and its command, as a lost host does, and waits until both are gone. */
export async function killWithCommand(holder: Holder): Promise<void> {
  holder.kill("SIGKILL");
  process.kill(holder.commandPid, "SIGKILL");
  await holder.finished;
  await until("the end of the command", () => (isRunning(holder.commandPid) ? null : true));
}

async function hold(args: readonly string[], lasting: string, options: CallOptions): Promise<Holder> {
  const script = `echo "HELD $$ $TRAINLOCK_GENERATION"; ${lasting}`;
  const running = startTrainlock(["run", ...args, "--", "sh", "-c", script], options);
  await running.waitFor("\n");
  const [, commandPid, generation] = /^HELD (\d+) (\d+)$/m.exec(running.stdout()) ?? [];
  if (commandPid === undefined) throw new Error(`no command, but ${running.stdout()}`);
  return Object.assign(running, { commandPid: Number(commandPid), generation: Number(generation) });
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return "";
  }
}
