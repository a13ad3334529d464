import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { pythonFolder, pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

/** A real kernel, by Debian's packages. */
const test = requiresPrograms("ipykernel");

/** Somebody at a notebook, with `run`, `begin` and `outcome` of cells and the `kernel` itself to interrupt and restart. */
async function notebook() {
  const root = await temporaryRoot();
  const env = {
    ...{ HOME: root, JUPYTER_RUNTIME_DIR: join(root, "runtime"), IPYTHONDIR: join(root, "ipython") },
    ...{ PYTHONPATH: `${pythonFolder}:${fileURLToPath(new URL(".", import.meta.url))}` },
    PYDEVD_DISABLE_FILE_VALIDATION: "1",
  };
  const desk = pythonSession(root, { interpreter: "/usr/bin/python3", env, timeoutMs: 240_000, answerMs: 90_000 });
  await desk.tell("from kernel import *");
  // The kernel ends by itself once whoever started it is gone.
  const cell = (code: string) => desk.tell(`run(${JSON.stringify(code)})`);
  return { desk, cell, of: configuration(root) };
}

const isLocked = async (of: TestConfiguration) => (await trainlock(["check", ...of.args])).exitCode === 1;
const section = (of: TestConfiguration) => JSON.parse(readFileSync(of.kernelLock, "utf8")).trainlock;

test("a Jupyter kernel holds the lock: a second object, the module loaded again, interrupts", async () => {
  const { desk, cell, of } = await notebook();
  expect(await cell("lock.acquire()")).toBe("True");
  const second = "TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50').acquire()";
  expect(await cell(second)).toMatch(/is held by this notebook since .*release_all\(\) releases it\nFalse$/);
  expect(await cell(`import importlib; importlib.reload(training_lock); training_lock.${second}`)).toMatch(/False$/);
  // An interrupt of a cell leaves a lock that another cell has acquired, and ends one that is held by \`with\`.
  await desk.tell(`cell = begin("print('SLEEPS', flush=True); time.sleep(60)")`);
  await desk.tell("kernel.interrupt_kernel()");
  expect(await desk.raised("outcome(cell)")).toBe("CellError: KeyboardInterrupt: ");
  expect(await cell("lock.assert_held()")).toBe("");
  expect(await cell("training_lock.release_all()")).toBe("");
  expect(await isLocked(of)).toBe(false);
  await desk.tell(`cell = begin("with lock:\\n    print('HOLDS', flush=True); time.sleep(60)")`);
  expect(await isLocked(of)).toBe(true);
  await desk.tell("kernel.interrupt_kernel()");
  expect(await desk.raised("outcome(cell)")).toBe("CellError: KeyboardInterrupt: ");
  expect(section(of)).toMatchObject({ exit_code: 130, ends: { last_end: "interrupted" } });
  // One that waits for another is interrupted at once, and has nothing.
  const holder = await holdWithRun(of.args);
  await desk.tell(`cell = begin("print('WAITS', flush=True); lock.acquire(True, -1)")`);
  await desk.tell("kernel.interrupt_kernel()");
  expect(await desk.raised("outcome(cell)")).toBe("CellError: KeyboardInterrupt: ");
  holder.closeInput();
  await holder.finished;
  expect(await cell("lock.generation")).toBe("");
  expect(await isLocked(of)).toBe(false);
}, 240_000);

test("a Jupyter kernel restarted, killed with a worker, and shut down: free, and what still trains holds on", async () => {
  const { desk, cell, of } = await notebook();
  expect(await cell("lock.acquire()")).toBe("True");
  await desk.tell("kernel.restart_kernel(now=False)");
  await desk.tell("again()");
  // It has ended in an orderly way, and has released what it held.
  expect(section(of).released_at).not.toBe(null);
  expect(existsSync(of.marker)).toBe(false);
  expect(await cell("lock.acquire()")).toBe("True");
  // Jupyter kills the process group of the kernel: what goes on has a session of its own.
  const training = "lock.popen([sys.executable, '-c', 'import time; time.sleep(120)'], start_new_session=True).pid";
  const worker = Number(await cell(training));
  const killWorker = () => {
    if (readFileSync(`/proc/${worker}/cmdline`, "utf8").includes("time.sleep(120)")) process.kill(worker, "SIGKILL");
  };
  onTestFinished(() => {
    if (existsSync(`/proc/${worker}`)) killWorker();
  });
  await desk.tell("kernel.restart_kernel(now=True)");
  await desk.tell("again()");
  expect(await isLocked(of)).toBe(true);
  expect((await trainlock(["list", "-v", "--root", of.root])).stdout).toContain(String(worker));
  expect(await cell("lock.acquire()")).toBe("False");
  killWorker();
  await until("free", async () => ((await isLocked(of)) ? null : true));
  expect(await cell("lock.acquire()")).toBe("True");
  const forked = Number(await cell("worker = os.fork()\nif worker == 0:\n    time.sleep(120)\nworker"));
  await desk.tell("kernel.shutdown_kernel(now=True)");
  await until("the forked worker to be gone, too", () => (existsSync(`/proc/${forked}`) ? null : true));
  await until("free", async () => ((await isLocked(of)) ? null : true));
}, 240_000);
