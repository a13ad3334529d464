import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { sharedCluster } from "../etcd/cluster.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type RunningProcess, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, run, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { goFile, launcher, startedWorkers } from "../trees/launchers.ts";
import { runtimes } from "./library-program.ts";

const program = resolve("test/library/spawner.mjs");
const library = resolve("dist/lib/index.js");
const project = resolve(".");
const cluster = sharedCluster();

interface Training {
  readonly of: TestConfiguration;
  readonly caller: RunningProcess;
  readonly helper: number;
  readonly workers: readonly number[];
  /** Where the workers look for a sign to end. */
  readonly folder: string;
}

/** A program whose training has gone into a session of its own, without environment and descriptors. */
async function startTraining(
  way: "held" | "not held",
  runtime = runtimes.Node,
  env: Readonly<Record<string, string>> = {},
): Promise<Training> {
  const of = configuration(await temporaryRoot());
  const folder = mkdtempSync(join(of.root, "trees-"));
  const command = launcher(folder, "a double fork into a session of its own, without an environment");
  const caller = startProcess(runtime, [program, library, of.root, way, ...command], { env: environment(env) });
  const workers = await startedWorkers(folder);
  const helper = Number(/^STARTED (\d+)$/m.exec(caller.stdout())?.[1]);
  return { of, caller, helper, workers, folder };
}

const isLocked = async ({ of }: Training, env: Readonly<Record<string, string>> = {}) =>
  (await trainlock(["check", ...of.args], { env })).exitCode === 1;

describe.each([
  ["a lock that it holds, on Node", "held", runtimes.Node],
  ["a lock that it holds, on Bun", "held", runtimes.Bun],
  ["no lock before, on Node", "not held", runtimes.Node],
] as const)("lock.spawn of a program with %s", (_, way, runtime) => {
  requiresPrograms("python3")(
    "keeps the lock until the last process has ended, though the caller was killed",
    async () => {
      const training = await startTraining(way, runtime);
      const { caller, of, helper, workers, folder } = training;
      caller.kill("SIGKILL");
      await caller.finished;
      expect(await isLocked(training)).toBe(true);
      const other = await trainlock(["run", ...of.args, "--", "true"]);
      expect(other).toMatchObject({ exitCode: 75 });
      // The one that anybody has to deal with, and no PID of a program that is gone.
      expect(other.stderr).toContain(`PID: ${helper}`);
      writeFileSync(goFile(folder), "");
      await until("the end of the workers", () => (workers.some(isRunning) ? null : true));
      process.kill(helper, "SIGTERM");
      await until("the lock is free", async () => ((await isLocked(training)) ? null : true));
      expect(existsSync(of.marker)).toBe(false);
    },
  );
});

requiresPrograms(
  "python3",
  "etcd",
  "etcdctl",
)("lock.spawn keeps a lock on etcd, though the caller was killed", async () => {
  const { url, env } = await cluster();
  const settings = { ...env, TRAINLOCK_STORE: url };
  const training = await startTraining("held", runtimes.Node, settings);
  training.caller.kill("SIGKILL");
  await training.caller.finished;
  expect(await isLocked(training, settings)).toBe(true);
  process.kill(training.helper, "SIGTERM");
  await until("the lock is free", async () => ((await isLocked(training, settings)) ? null : true));
  expect(training.workers.filter(isRunning)).toEqual([]);
});

requiresPrograms("python3")("a lock that the helper loses stops the whole tree, and aborts lock.lost", async () => {
  const { of, caller, workers } = await startTraining("held");
  rmSync(of.marker);
  writeFileSync(of.marker, `${process.pid}\n`);
  await caller.waitFor("ENDED");
  expect(caller.stdout()).toMatch(/^ENDED 74 lost$/m);
  expect(workers.filter(isRunning)).toEqual([]);
  expect(readFileSync(of.marker, "utf8")).toBe(`${process.pid}\n`);
});

/** An old job that tries all the time, and one of ours that waits in the kernel: whoever gets the lock says so. */
async function startContenders(of: TestConfiguration, won: string): Promise<RunningProcess[]> {
  const spin = 'until (set -C; echo $$ >"$0") 2>/dev/null; do :; done; echo bash >>"$1"; rm -f "$0"';
  const options = { env: environment() };
  const old = startProcess("bash", ["-c", spin, of.marker, won], options);
  const ours = startProcess(
    executable,
    ["run", ...of.args, "--wait", "--", "sh", "-c", 'echo ours >>"$0"', won],
    options,
  );
  const { ino } = statSync(of.kernelLock);
  await until("a process that waits in the kernel", () => {
    const waits = readFileSync("/proc/locks", "utf8").split("\n");
    return waits.some((line) => line.includes("->") && line.includes(`:${ino} `)) ? true : null;
  });
  return [old, ours];
}

requiresPrograms("bash")("nobody comes between the program and its helper", async () => {
  const of = configuration(await temporaryRoot());
  const won = join(of.root, "won");
  const command = ["sh", "-c", 'sleep 0.2; test ! -e "$0"', won];
  const caller = startProcess(process.execPath, [program, library, of.root, "held, then asked", ...command], {
    env: environment(),
  });
  await caller.waitFor("HELD");
  const contenders = await startContenders(of, won);
  caller.writeLine("go");
  await caller.waitFor("ENDED");
  expect(caller.stdout()).toMatch(/^ENDED 0 not lost$/m);
  await Promise.all(contenders.map(({ finished }) => finished));
  expect(readFileSync(won, "utf8").split("\n").sort()).toEqual(["", "bash", "ours"]);
});

test("installed by npm, it finds the executable in the package of this processor", async () => {
  const folder = realpathSync(await temporaryRoot());
  const packages = join(folder, "node_modules");
  const own = join(packages, "@trainlock", `linux-${process.arch}`);
  for (const path of [join(packages, "trainlock", "dist"), own]) mkdirSync(path, { recursive: true });
  cpSync(join(project, "dist", "lib"), join(packages, "trainlock", "dist", "lib"), { recursive: true });
  cpSync(join(project, "package.json"), join(packages, "trainlock", "package.json"));
  for (const name of ["koffi", "valibot", "yaml", "csv-parse"])
    symlinkSync(join(project, "node_modules", name), join(packages, name));
  writeFileSync(join(own, "package.json"), '{ "name": "x", "version": "0.9.0" }\n');
  symlinkSync(executable, join(own, "trainlock"));
  const program = `
    import { TrainingLock } from "trainlock";
    const lock = new TrainingLock({ strategy: "s", dataset: "d", model: "m", root: ${JSON.stringify(folder)} });
    lock.spawn("sh", ["-c", "echo trains $TRAINLOCK_NAME"], { stdio: "inherit" }).on("exit", (code) => process.exit(code));
  `;
  const path = join(folder, "program.mjs");
  writeFileSync(path, program);
  const call = await run([process.execPath, path], { PATH: "/usr/bin:/bin" });
  expect(call).toMatchObject({ exitCode: 0, stdout: "trains s/d/m\n" });
});
