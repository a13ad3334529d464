import { readFileSync } from "node:fs";
import { unlink, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { peers } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, holdWithLastingCommand, holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const got = ["--", "echo", "trained"];

function waiting(args: readonly string[], command: readonly string[] = got, wait = "--wait") {
  const run = startTrainlock(["run", ...args, wait, ...command]);
  const begun = until("the wait", () => (run.stderr().includes("Waiting for") ? true : null));
  return Object.assign(run, { begun });
}

/** Clock ticks a process and the children it has waited for have used, fields 14 to 17 of proc_pid_stat(5). */
function ticksOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0);
}

describe("run --wait", () => {
  test("says who holds, and trains when that one is done", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const run = waiting(of.args);
    await run.begun;
    expect(run.stderr()).toMatch(
      new RegExp(`^Waiting for \\S+ \\(PID ${holder.pid}, user \\S+\\), since 20\\d\\d-.*\\n$`),
    );
    holder.closeInput();
    expect(await run.finished).toMatchObject({ exitCode: 0, stdout: "trained\n" });
  });

  for (const peer of peers) {
    requiresPrograms(...peer.needs)(`for ${peer.title}`, async () => {
      const of = configuration(await temporaryRoot());
      const holder = peer.start(of);
      await holder.waitFor("HELD");
      const run = waiting(of.args);
      await run.begun;
      holder.closeInput();
      expect(await run.finished).toMatchObject({ exitCode: 0, stdout: "trained\n" });
    });
  }

  test("a marker whose process has been killed frees it as well", async () => {
    const of = configuration(await temporaryRoot());
    const holder = startProcess("sleep", ["1000"], {
      env: environment(),
    });
    await writeMarker(of, `${holder.pid}\n`);
    const run = waiting(of.args);
    await run.begun;
    holder.kill("SIGKILL");
    expect(await run.finished).toMatchObject({ exitCode: 0, stdout: "trained\n" });
  });

  test("a holder that is killed with its command frees it as well", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithLastingCommand(of.args);
    const run = waiting(of.args);
    await run.begun;
    holder.kill("SIGKILL");
    process.kill(holder.commandPid, "SIGKILL");
    expect(await run.finished).toMatchObject({ exitCode: 0, stdout: "trained\n" });
  });

  test("an unknown holder is waited for, too", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, "no process at all, 1 2\n");
    const run = waiting(of.args);
    await run.begun;
    expect(run.stderr()).toContain("[UNKNOWN - ");
    await unlink(of.marker);
    expect(await run.finished).toMatchObject({ exitCode: 0, stdout: "trained\n" });
  });

  test("several wait: each trains once, one after the other, in the order in which they came", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const runs = [];
    for (const name of ["first", "second", "third"]) {
      const run = waiting(of.args, ["--", "sh", "-c", `echo ${name} >>${of.root}/order; echo $TRAINLOCK_GENERATION`]);
      runs.push(run);
      await run.begun;
      // The message comes just before the place in the queue.
      await until("its place in the queue", () => (isQueued(run.pid) ? true : null));
    }
    holder.closeInput();
    const generations = (await Promise.all(runs.map((run) => run.finished))).map(({ stdout }) => Number(stdout));
    expect(generations).toEqual([1, 2, 3].map((later) => holder.generation + later));
    expect(readFileSync(`${of.root}/order`, "utf8")).toBe("first\nsecond\nthird\n");
  });

  test("the time is up: exit code 75, or 0 with --on-locked skip", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const run = await trainlock(["run", ...of.args, "--wait=0.3s", ...got]);
    expect(run).toMatchObject({ exitCode: 75, stdout: "" });
    expect(run.stderr).toContain(`SKIP: Another job (PID: ${holder.pid}`);
    expect(await trainlock(["run", ...of.args, "--wait=0.3", "--on-locked", "skip", ...got])).toMatchObject({
      exitCode: 0,
    });
  });

  test.each(["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR2"] as const)("%s ends the wait", async (signal) => {
    const of = configuration(await temporaryRoot());
    await holdWithRun(of.args);
    const run = waiting(of.args);
    await run.begun;
    run.kill(signal);
    expect(await run.finished).toMatchObject({ exitCode: 128 + constants.signals[signal], stdout: "" });
    expect(await finish("pgrep", ["-P", String(run.pid)])).toMatchObject({ stdout: "" });
  });

  test("a waiter sleeps: no clock tick of processor time in a second", async () => {
    const of = configuration(await temporaryRoot());
    await holdWithRun(of.args);
    const run = waiting(of.args);
    await run.begun;
    await until("its place in the queue", () => (isQueued(run.pid) ? true : null));
    const before = ticksOf(run.pid);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(ticksOf(run.pid) - before).toBeLessThanOrEqual(1);
  });

  test("the training that was waited for has been done by the holder: nothing is started", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun([...of.args, "--done-file", "trained.json"]);
    const run = waiting([...of.args, "--done-file", "trained.json"]);
    await run.begun;
    await writeFile(join(of.weightsDir, "last.pth"), "weights");
    holder.closeInput();
    const finished = await run.finished;
    expect(finished).toMatchObject({ exitCode: 0, stdout: "" });
    expect(finished.stderr).toContain("SKIP: Final checkpoint already exists: trained.json");
  });

  test("a duration that is none: exit code 2", async () => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, "--wait=soon", ...got]);
    expect(run).toMatchObject({ exitCode: 2, stderr: expect.stringMatching(/--wait.*"soon"/) });
  });
});

/** Whether a child of it sleeps in flock(2). */
function isQueued(pid: number): boolean {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
  return children.some((child) => child !== "" && /flock/.test(readFileSync(`/proc/${child}/stat`, "utf8")));
}
