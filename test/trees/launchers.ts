import { readdirSync } from "node:fs";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { isRunning } from "../support/process-state.ts";
import { until } from "../support/until.ts";

/**
 * A worker that does not end for SIGTERM, says by a file that it runs, and ends with the test's process. Its arguments are all it
 * knows: its environment may be empty, its descriptors closed.
 */
const worker = `
import os, signal, sys, time
folder, deaf, watched = sys.argv[1], sys.argv[2] == "deaf", int(sys.argv[3])
if deaf: signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(os.path.join(folder, "worker.%d" % os.getpid()), "w").close()
while os.path.exists("/proc/%d" % watched) and not os.path.exists(os.path.join(folder, "go")): time.sleep(0.05)
`;

/** Launchers that leave their workers out of reach in one way or another; `start` is the worker's call. */
const launchers = {
  "torchrun's way: sessions of their own, closed descriptors": `
import subprocess, sys
for each in [subprocess.Popen(start, start_new_session=True, close_fds=True) for _ in range(2)]: each.wait()
`,
  "a double fork into a session of its own, without an environment": `
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(3, 256)
        os.execve(start[0], start, {})
    os._exit(0)
os.wait()
time.sleep(1000)
`,
  "timeout, which makes a process group": `
import subprocess
subprocess.run(["timeout", "1000"] + start)
`,
  "shells in groups and sessions of their own, several at once, as parallel starts them": `
import subprocess, os
for each in [subprocess.Popen(["setsid", "--wait", "sh", "-c", '"$@" & wait', "sh"] + start, preexec_fn=os.setpgrp) for _ in range(3)]: each.wait()
`,
  "a middle process that ends at once": `
import subprocess, sys, time
subprocess.run([start[0], "-c", "import subprocess, sys; subprocess.Popen(sys.argv[1:], start_new_session=True, env={})"] + start)
time.sleep(1000)
`,
  "a subreaper of its own, above a daemon without an environment": `
import ctypes, os, time
ctypes.CDLL(None).prctl(36, 1)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(3, 256)
        os.execve(start[0], start, {})
    os._exit(0)
time.sleep(1000)
`,
  "a clone that is its parent's child and no one of its own": `
import ctypes, os, signal, time
number = {"x86_64": 56, "aarch64": 220}[os.uname().machine]
clone_parent = 0x8000
if ctypes.CDLL(None).syscall(number, clone_parent | signal.SIGCHLD, 0, 0, 0, 0) == 0:
    os.closerange(3, 256)
    os.execve(start[0], start, {})
time.sleep(1000)
`,
} as const;

export const launcherNames = Object.keys(launchers) as (keyof typeof launchers)[];

export interface LaunchOptions {
  readonly deaf?: boolean;
  /** What the launcher does when all workers run, in place of waiting for them. */
  readonly then?: string;
}

/** The command that is a launcher of workers; files of a folder say which run. */
export function launcher(folder: string, name: keyof typeof launchers, options: LaunchOptions = {}): string[] {
  const call = ["python3", "-c", worker, folder, options.deaf === true ? "deaf" : "polite", String(process.pid)];
  const code = launchers[name].replaceAll("time.sleep(1000)", options.then ?? "time.sleep(1000)");
  return [
    "python3",
    "-c",
    `import shutil, time\nstart = ${JSON.stringify(call)}\nstart[0] = shutil.which("python3")\n${code}`,
  ];
}

/** The PIDs of the workers that have started in a folder. What is left of them ends with the test. */
export function workersIn(folder: string): number[] {
  return readdirSync(folder).flatMap((name) => (name.startsWith("worker.") ? [Number(name.slice(7))] : []));
}

export async function startedWorkers(folder: string): Promise<number[]> {
  let before = -1;
  // All have started once their number has stopped growing.
  const workers = await until("workers", async () => {
    const now = workersIn(folder);
    const settled = now.length > 0 && now.length === before;
    before = now.length;
    if (!settled) await new Promise((resolve) => setTimeout(resolve, 200));
    return settled ? now : null;
  });
  onTestFinished(() => {
    for (const pid of workers) if (isRunning(pid)) process.kill(pid, "SIGKILL");
  });
  return workers;
}

export const goFile = (folder: string) => join(folder, "go");
