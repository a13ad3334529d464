import { readFileSync } from "node:fs";
import type { TestConfiguration } from "../support/configuration.ts";
import { type CallOptions, type Holder, holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

/** A holder looks after its locks this long after the start for the last time before it does so every 30 s. */
const lastEarlyCheckMs = 1000;

/**
 * A `run` whose wrapper is stopped between two looks at its locks, while its command goes on. What is done to the locks now
 * stays as it is until SIGCONT, and is looked at right then. On a loaded machine the stop may come after the early looks,
 * with the next one half a minute away; then it starts over.
 */
export function holdStopped(of: TestConfiguration, options: CallOptions & { flags?: string[] } = {}): Promise<Holder> {
  const { flags = [], ...callOptions } = options;
  const attempt = async () => {
    const holder = await holdWithRun([...of.args, ...flags], callOptions);
    await until("the record with the command's PID", () => commandPidIn(of.kernelLock));
    holder.kill("SIGSTOP");
    if (performance.now() - holder.startedAt < lastEarlyCheckMs) return holder;
    holder.kill("SIGKILL");
    holder.closeInput();
    await until("the lock to be free", async () =>
      (await trainlock(["check", ...of.args])).exitCode === 0 ? true : null,
    );
    return null;
  };
  return until("a wrapper stopped within its first second", attempt, 25_000);
}

/** Null also while it is being written: a record is written in place. */
function commandPidIn(path: string): number | null {
  try {
    return readRecord(path).trainlock.child_pid;
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
}

interface ClaimRecord extends Readonly<Record<string, unknown>> {
  readonly acquired_at: string;
  readonly trainlock: { readonly child_pid: number | null; readonly token: string };
}

/** The owner record in a kernel lock file that trainlock holds. */
export function readRecord(path: string): ClaimRecord {
  return JSON.parse(readFileSync(path, "utf8"));
}
