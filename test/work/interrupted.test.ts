import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isRunning } from "../support/process-state.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { done, namesTo, training, workSite } from "./site.ts";

const listed = async (root: string) =>
  JSON.parse((await trainlock(["list", "--root", root, "--json", "--scheduler", "none"])).stdout).total as number;

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)("%s stops the running rows, starts no further one, and is passed on", async (signal, code) => {
  const site = await workSite(namesTo(6));
  const trap = `trap 'echo ${signal} >>"${site.root}/got"; exit 1' ${signal.slice(3)}; `;
  const command = training(site.root, `${trap} echo $$ >>"${site.root}/pids"; while :; do sleep 0.05; done;`);
  const worker = site.start([...done, "--jobs", "2"], command);
  await until("two rows", () => (site.lines("pids").length === 2 ? true : null));
  worker.kill(signal);
  const { exitCode, stdout } = await worker.finished;
  expect(exitCode).toBe(code);
  expect(site.lines("got")).toEqual([signal, signal]);
  expect(site.lines("ran")).toHaveLength(2);
  expect(stdout.match(/ interrupted s/g)).toHaveLength(2);
  expect(stdout).toMatch(/\n0 trained, 2 interrupted, which the same call goes on with\n$/);
  expect(await listed(site.root)).toBe(0);
});

test("a second signal kills what is deaf to the first, and leaves no lock", async () => {
  const site = await workSite(namesTo(3));
  const command = training(site.root, `trap '' INT TERM; echo $$ >>"${site.root}/pids"; while :; do sleep 0.05; done;`);
  const worker = site.start(done, command);
  await until("a row", () => (site.lines("pids").length === 1 ? true : null));
  worker.kill("SIGINT");
  await worker.waitFor("no further row");
  worker.kill("SIGTERM");
  expect((await worker.finished).exitCode).toBe(130);
  expect(isRunning(Number(site.lines("pids")[0]))).toBe(false);
  expect(await listed(site.root)).toBe(0);
});

test("a warning of the scheduler is passed on, and no further row is started", async () => {
  const site = await workSite(namesTo(3));
  const command = training(
    site.root,
    `trap 'go=1' USR1; echo up >>"${site.root}/up"; until [ -n "$go" ]; do sleep 0.05; done;`,
  );
  const worker = site.start(done, command);
  await until("a row", () => (site.lines("up").length === 1 ? true : null));
  worker.kill("SIGUSR1");
  const { exitCode, stdout } = await worker.finished;
  expect(exitCode).toBe(75);
  expect(stdout).toMatch(/ done /);
  expect(site.lines("ran")).toHaveLength(1);
});

test("Ctrl-C after a warning stops as it does without one, and a second one kills", async () => {
  const site = await workSite(namesTo(3));
  const command = training(site.root, `trap '' USR1 INT; echo up >>"${site.root}/up"; while :; do sleep 0.05; done;`);
  const worker = site.start(done, command);
  await until("a row", () => (site.lines("up").length === 1 ? true : null));
  worker.kill("SIGUSR1");
  await worker.waitFor("SIGUSR1 is passed on");
  worker.kill("SIGINT");
  await worker.waitFor("a second Ctrl-C kills");
  worker.kill("SIGINT");
  const { exitCode, stdout } = await worker.finished;
  expect(exitCode).toBe(130);
  expect(stdout).toContain("SIGINT was passed on");
  expect(await listed(site.root)).toBe(0);
});

test("workers and wrappers that are killed at random and started again lose nothing and train nothing twice at once", async () => {
  const site = await workSite(namesTo(30));
  const dir = '"$TRAINLOCK_WEIGHTS_DIR"';
  const command = training(
    site.root,
    `mkdir ${dir}/training || echo TWICE >>"${site.root}/twice"; sleep 0.05; rmdir ${dir}/training;`,
  );
  const start = () => site.start([...done, "--max-attempts", "9", "--jobs", "2"], command);
  let kills = 0;
  const workers = [start(), start()];
  for (let rounds = 0; rounds < 8; rounds += 1) {
    const victim = workers[rounds % 2];
    const seen = site.lines("ran").length;
    await until("progress", () => (site.lines("ran").length > seen ? true : null), 20_000).catch(() => null);
    victim?.kill("SIGKILL");
    kills += 1;
    workers[rounds % 2] = start();
  }
  await Promise.all(workers.map(({ finished }) => finished));
  const last = await site.work([...done, "--wait"], command);
  expect(last.exitCode).toBe(0);
  expect(kills).toBe(8);
  expect(site.lines("twice")).toEqual([]);
  expect(site.lines("ran").sort()).toEqual(
    namesTo(30)
      .map((name) => `${name} 1`)
      .sort(),
  );
});

test("a row whose wrapper alone is stopped is interrupted: the same worker goes on with it, three times at most", async () => {
  const site = await workSite(["s"]);
  const waits = `sleep 60 & echo $PPID >>"${site.root}/wrappers"; wait`;
  const command = training(site.root, `[ -e "${site.root}/go" ] || { ${waits}; };`);
  const stopped = async (worker: ReturnType<typeof site.start>, times: number) => {
    const before = site.lines("wrappers").length;
    for (let time = 1; time <= times; time += 1) {
      const wrapper = await until("a row", () => site.lines("wrappers")[before + time - 1] ?? null);
      if (time === times && times < 3) site.write("go", "");
      process.kill(Number(wrapper), "SIGTERM");
    }
    const finished = await worker.finished;
    return { ...finished, times: finished.stdout.match(/ interrupted s\/d\/m, .*SIGTERM was passed on/g)?.length };
  };
  const given = await stopped(site.start(done, command), 3);
  expect(given).toMatchObject({
    exitCode: 1,
    times: 3,
    stdout: expect.stringMatching(/\nfailed {3}s\/d\/m |1 failed/),
  });
  const again = await stopped(site.start([...done, "--retry-failed"], command), 2);
  expect(again).toMatchObject({ exitCode: 0, times: 2, stdout: expect.stringMatching(/\n1 trained\n$/) });
});

test("without a done rule, exit code 0 after a signal is no training: to the wrapper alone, and to the worker", async () => {
  const site = await workSite(["s"]);
  const waits = `trap 'exit 0' TERM; sleep 60 & echo $PPID >>"${site.root}/wrappers"; wait`;
  const command = ["sh", "-c", `[ -e "${site.root}/go" ] || { ${waits}; }; echo >>"${site.root}/whole"`];
  const stopped = async (who: "worker" | "wrapper", nth: number) => {
    const worker = site.start([], command);
    const wrapper = await until("a row", () => site.lines("wrappers")[nth - 1] ?? null);
    if (who === "worker") worker.kill("SIGTERM");
    else {
      site.write("go", "");
      process.kill(Number(wrapper), "SIGTERM");
    }
    return worker.finished;
  };
  const byWorker = await stopped("worker", 1);
  expect(byWorker).toMatchObject({ exitCode: 143, stdout: expect.stringContaining("0 trained, 1 interrupted") });
  const byWrapper = await stopped("wrapper", 2);
  expect(byWrapper).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/ interrupted s\/d\/m, [\s\S]*\n1 trained\n$/),
  });
  expect(readFileSync(join(site.root, "whole"), "utf8")).toBe("\n");
});
