import { fileURLToPath } from "node:url";
import type { TestConfiguration } from "./configuration.ts";
import { type Finished, finish, type RunningProcess, startProcess } from "./running-process.ts";
import { environment } from "./trainlock.ts";

const program = (name: string) => fileURLToPath(new URL(`peers/${name}`, import.meta.url));

/** One of the writers that were there before: a real program that takes the lock its own way. */
export interface Peer {
  readonly title: string;
  readonly needs: readonly ("bash" | "flock" | "python3")[];
  /** Which of the two locks it knows. */
  readonly kind: "file" | "fcntl";
  /** Starts it; it prints HELD or SKIP. */
  start(of: TestConfiguration): RunningProcess;
}

const job = { LSB_JOBID: "123456" };

export const noclobberJob: Peer = {
  title: "a bash job with a noclobber marker",
  needs: ["bash"],
  kind: "file",
  start: (of) => startProcess("bash", [program("noclobber-job.sh"), of.marker], { env: environment(job) }),
};

export const flockJob: Peer = {
  title: "a bash job with flock on descriptor 200",
  needs: ["bash", "flock"],
  kind: "fcntl",
  start: (of) => startFlockJob(of),
};

export const pythonJob: Peer = {
  title: "a Python job with fcntl.flock",
  needs: ["python3"],
  kind: "fcntl",
  start: (of) =>
    startProcess(
      "python3",
      [
        program("flock_job.py"),
        "hold",
        of.kernelLock,
        "--strategy",
        of.strategy,
        "--dataset",
        of.dataset,
        "--model",
        of.model,
      ],
      { env: environment(job) },
    ),
};

export const peers: readonly Peer[] = [noclobberJob, flockJob, pythonJob];

/** The flock job, with a training command below it where one is given. */
export function startFlockJob(of: TestConfiguration, command: readonly string[] = []): RunningProcess {
  const normalized = of.dataset.toLowerCase().replaceAll("-", "_");
  const args = [program("flock-job.sh"), of.kernelLock, of.strategy, normalized, of.model, ...command];
  return startProcess("bash", args, { env: environment(job) });
}

/** The Python tool's other commands, which look at locks by taking them. */
export function pythonLocks(command: "is-locked" | "list" | "clear", path: string): Promise<Finished> {
  return finish("python3", [program("flock_job.py"), command, path], { env: environment() });
}

/** The same without an end: a cron job's worst case. */
export function pythonProbing(command: "list" | "clear", lockDir: string): RunningProcess {
  return startProcess("python3", [program("flock_job.py"), command, lockDir, "--forever"], { env: environment() });
}
