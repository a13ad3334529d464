import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type RunningProcess, startProcess } from "../support/running-process.ts";
import { listed } from "../support/scenarios.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, run, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
const withContainers = requiresPrograms("unshare --pid", "python3");

const inContainer = (args: readonly string[]) => run([...container, executable, ...args]);

/** Starts a worker in a session of its own, and waits for it. */
const launcher = `import os, subprocess, sys
at, options = sys.argv[1], eval(sys.argv[2])
worker = subprocess.Popen(["sleep", "60"], start_new_session=True, **options)
for name, pid in ("command", os.getpid()), ("worker", worker.pid):
    with open(os.path.join(at, name), "w") as file: file.write(str(pid))
worker.wait()`;

/** At the first line it kills wrapper and command, at the second the worker. A container ends with it. */
const around = `at=$1; shift; "$@" & read line; kill -9 $! $(cat "$at/command"); echo KILLED; read line; kill -9 $(cat "$at/worker"); exit 0`;

/** A training in its place, of which the worker is left. */
async function trainAndKill(of: TestConfiguration, place: readonly string[], options: string): Promise<RunningProcess> {
  const training = [executable, "run", ...of.args, "--", "python3", "-c", launcher, of.root, options];
  const [file = "", ...args] = [...place, "sh", "-c", around, "sh", of.root, ...training];
  const running = startProcess(file, args, { env: environment() });
  const [worker, note] = [join(of.root, "worker"), join(of.weightsDir, ".training_lock.tree")];
  const expected = options.includes("close_fds=False");
  const isNoted = () => {
    if (!existsSync(worker) || !existsSync(note)) return false;
    const pid = Number(readFileSync(worker, "utf8"));
    const { all_hold_lock: holdLock, processes } = JSON.parse(readFileSync(note, "utf8"));
    return holdLock === expected && processes.some((noted: { pid: number }) => noted.pid === pid);
  };
  await until("the worker to be noted", () => isNoted() || null);
  running.writeLine("kill");
  await running.waitFor("KILLED");
  onTestFinished(() => running.closeInput());
  return running;
}

const statuses = async (root: string) => new Set((await listed(root)).map(({ status }) => status));

async function statusesInside(root: string): Promise<ReadonlySet<string>> {
  const { stdout } = await inContainer(["list", "--root", root, "--json"]);
  return new Set((JSON.parse(stdout).locks as { status: string }[]).map(({ status }) => status));
}

const places = { "in another container": container, "on the host": [] } as const;
const shapes = { "keeps its variables": "dict()", "has none": "dict(env={})" } as const;

describe("a worker without the lock's descriptor is left of a killed training, seen from a container", () => {
  for (const [where, place] of Object.entries(places))
    for (const [what, options] of Object.entries(shapes))
      withContainers(`${where}, and it ${what}: nobody trains beside it, and the host knows its end`, async () => {
        const of = configuration(await temporaryRoot());
        const left = await trainAndKill(of, place, options);
        const refused = await inContainer(["run", ...of.args, "--", "true"]);
        expect(refused.exitCode).toBe(75);
        expect(refused.stderr).toContain("UNKNOWN - other container");
        expect(refused.stderr).toContain("ask on the host");
        expect(await statusesInside(of.root)).toEqual(new Set(["unknown"]));
        await inContainer(["clear", "--root", of.root, "--no-dry-run"]);
        expect(existsSync(of.marker)).toBe(true);
        expect(await statuses(of.root)).toEqual(new Set(["active"]));
        left.writeLine("end");
        await left.finished;
        // To a new container the end is unknown, unless it has got the very number of the PID namespace that is gone.
        expect(await statusesInside(of.root)).not.toContain("active");
        expect(await statuses(of.root)).toEqual(new Set(["stale"]));
        expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
        expect(await inContainer(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
      });
});

for (const [where, place] of Object.entries(places))
  withContainers(`a training ${where}, all of which had the lock: free, it proves the end of all`, async () => {
    const of = configuration(await temporaryRoot());
    const left = await trainAndKill(of, place, "dict(close_fds=False)");
    expect(await inContainer(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    expect(await statusesInside(of.root)).toEqual(new Set(["active"]));
    left.writeLine("end");
    await left.finished;
    expect(await statusesInside(of.root)).toEqual(new Set(["stale"]));
    expect(await inContainer(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
  });
