import { existsSync, writeFileSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { untilNoted } from "../support/noted-tree.ts";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { goFile, launcher, launcherNames, startedWorkers } from "./launchers.ts";

const test = requiresPrograms("python3", "setsid");

async function scene() {
  const of = configuration(await temporaryRoot());
  return { of, folder: await temporaryRoot() };
}

const running = (pids: readonly number[]) => pids.filter(isRunning);

describe.each(launcherNames)("%s", (name) => {
  test("killed: its workers are named, and ended before the lock is free", async () => {
    const { of, folder } = await scene();
    const run = startTrainlock(["run", ...of.args, "--kill-after", "0.4s", "--", ...launcher(folder, name)]);
    const workers = await startedWorkers(folder);
    await untilNoted(of, workers);
    const command = JSON.parse(await readFile(of.kernelLock, "utf8")).trainlock.child_pid;
    process.kill(command, "SIGKILL");
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    const { exitCode, stderr } = await run.finished;
    expect(exitCode).toBe(137);
    expect(running(workers)).toEqual([]);
    for (const pid of workers) expect(stderr).toContain(`(PID ${pid})`);
    expect(existsSync(join(of.weightsDir, ".training_lock.tree"))).toBe(false);
  });

  test("a lost lock ends the workers, deaf to SIGTERM as they are, before exit 74", async () => {
    const { of, folder } = await scene();
    const options = ["--check-every", "0.1s", "--kill-after", "0.5s"];
    const run = startTrainlock(["run", ...of.args, ...options, "--", ...launcher(folder, name, { deaf: true })]);
    const workers = await startedWorkers(folder);
    const other = join(of.weightsDir, "other");
    await writeFile(other, String(process.pid));
    await rename(other, of.marker);
    const { exitCode } = await run.finished;
    expect(exitCode).toBe(74);
    expect(running(workers)).toEqual([]);
  });

  test("--die-with-wrapper: SIGKILL of the wrapper ends the tree; without it, the tree goes on", async () => {
    for (const options of [["--die-with-wrapper", "--kill-after", "0.3s"], []]) {
      const { of, folder } = await scene();
      const run = startTrainlock(["run", ...of.args, ...options, "--", ...launcher(folder, name, { deaf: true })]);
      const workers = await startedWorkers(folder);
      await untilNoted(of, workers);
      run.kill("SIGKILL");
      await run.finished;
      if (options.length === 0) {
        await new Promise((resolve) => setTimeout(resolve, 600));
        expect(running(workers)).toEqual(workers);
      } else {
        await until("the end of the workers", () => (running(workers).length === 0 ? true : null));
      }
    }
  });
});

/** Two seconds on, when looks at the tree are rare: an orphan that has its claim's variables, and kills the wrapper at once. */
const lateOrphan = `
import os, signal, sys, time
time.sleep(2)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while os.getppid() != int(os.environ["TRAINLOCK_PID"]): time.sleep(0.001)
        os.kill(int(os.environ["TRAINLOCK_PID"]), signal.SIGKILL)
        os.execvp(sys.argv[1], sys.argv[1:])
    os._exit(0)
os.wait()
time.sleep(1000)
`;

test("--die-with-wrapper ends an orphan of which the wrapper could not tell, and nothing that only has its variables", async () => {
  const { of, folder } = await scene();
  const script = `env >${folder}/variables; exec python3 -c "$LATE" sh -c 'echo $$ >${folder}/worker.$$; exec sleep 60'`;
  const options = ["--die-with-wrapper", "--kill-after", "0.3s"];
  const run = startTrainlock(["run", ...of.args, ...options, "--", "sh", "-c", script], { env: { LATE: lateOrphan } });
  const variables = await until("the variables", async () => {
    const text = await readFile(join(folder, "variables"), "utf8").catch(() => "");
    const pairs = [...text.matchAll(/^(TRAINLOCK_(?:PID|TOKEN))=(.*)$/gm)].map(([, name = "", value = ""]) => [
      name,
      value,
    ]);
    return pairs.length === 2 ? Object.fromEntries(pairs) : null;
  });
  const submitted = startProcess("sleep", ["60"], { env: environment(variables) });
  expect(await run.finished).toMatchObject({ signal: "SIGKILL" });
  const workers = await startedWorkers(folder);
  await until("the end of the orphan", () => (running(workers).length === 0 ? true : null));
  expect(isRunning(submitted.pid)).toBe(true);
});

describe("a worker in a session of its own, whose command has ended with 0", () => {
  const daemon = launcherNames[1] ?? "timeout, which makes a process group";
  const leaving = (folder: string) => launcher(folder, daemon, { then: "None" });

  test("is waited for however short --kill-after, and named with the options that end this", async () => {
    const { of, folder } = await scene();
    const run = startTrainlock([
      "run",
      ...of.args,
      "--kill-after",
      "0.1s",
      "--done-file",
      "d",
      "--",
      ...leaving(folder),
    ]);
    const [worker = 0] = await startedWorkers(folder);
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect(isRunning(worker)).toBe(true);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    writeFileSync(join(of.weightsDir, "last.pth"), "weights");
    writeFileSync(goFile(folder), "");
    const { exitCode, stderr } = await run.finished;
    expect(exitCode).toBe(0);
    expect(stderr).toMatch(new RegExp(`left .*\\(PID ${worker}\\): .*--leftovers kill`));
    expect(existsSync(join(of.weightsDir, "d"))).toBe(true);
  });

  test("--leftovers kill ends it, and then nothing is done", async () => {
    const { of, folder } = await scene();
    const options = ["--leftovers", "kill", "--kill-after", "0.3s", "--done-file", "d"];
    const run = startTrainlock(["run", ...of.args, ...options, "--", ...leaving(folder)]);
    const workers = await startedWorkers(folder);
    expect(await run.finished).toMatchObject({ exitCode: 0 });
    expect(running(workers)).toEqual([]);
    expect(existsSync(join(of.weightsDir, "d"))).toBe(false);
  });

  test("--leftovers leave lets it go on without the lock, and --status names it", async () => {
    const { of, folder } = await scene();
    const status = join(folder, "status.json");
    const options = ["--leftovers", "leave", "--status", status, "--done-file", "d"];
    const run = startTrainlock(["run", ...of.args, ...options, "--", ...leaving(folder)]);
    expect(await run.finished).toMatchObject({ exitCode: 0 });
    const [worker = 0] = await startedWorkers(folder);
    expect(isRunning(worker)).toBe(true);
    const { name, generation, command, leftovers, configuration: of_ } = JSON.parse(await readFile(status, "utf8"));
    expect({ name, generation, program: command[0] }).toEqual({ name: of.name, generation: 1, program: "python3" });
    expect(of_).toMatchObject({ strategy: "baseline" });
    expect(leftovers).toEqual([{ pid: expect.any(Number), command: expect.stringContaining("python3") }]);
    expect(existsSync(join(of.weightsDir, "d"))).toBe(false);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0 });
  });

  test("SIGTERM to the wrapper is passed on to it and ends the wait", async () => {
    const { of, folder } = await scene();
    const run = startTrainlock(["run", ...of.args, "--kill-after", "0.3s", "--", ...leaving(folder)]);
    const workers = await startedWorkers(folder);
    await until("the wait", () => (run.stderr().includes("--leftovers") ? true : null));
    run.kill("SIGTERM");
    expect(await run.finished).toMatchObject({ exitCode: 0 });
    expect(running(workers)).toEqual([]);
  });
});

test("orphans that have ended are collected while the command runs", async () => {
  const { of } = await scene();
  const forks = "for n in 1 2 3 4; do (setsid sleep 0.1 &); (sleep 0.1 &); done; sleep 1; ";
  const count = `grep -ls "^PPid:[[:space:]]*$PPID$" $(grep -ls "^State:.Z" /proc/[0-9]*/status) /dev/null | wc -l`;
  const run = await trainlock(["run", ...of.args, "--", "bash", "-c", forks + count]);
  expect(run).toMatchObject({ exitCode: 0, stdout: "0\n" });
});
