import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { sharedCluster } from "../etcd/cluster.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type RunningProcess, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, holdWithRun } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const container = ["--pid", "--fork", "--mount-proc", "--kill-child"];
const withContainers = requiresPrograms("unshare --pid", "bash", "python3");

/** `trainlock run` is the first process of a container, and so everybody's last parent in it. */
async function startFirst(
  of: TestConfiguration,
  rest: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<RunningProcess & { readonly first: number }> {
  const call = [...container, executable, "run", ...of.args, ...rest];
  const running = startProcess("unshare", call, { env: environment(env) });
  const first = await until("the first process", () => childrenOf(running.pid)[0]?.pid ?? null);
  return Object.assign(running, { first });
}

interface Child {
  readonly pid: number;
  readonly state: string;
}

function childrenOf(parent: number): Child[] {
  return readdirSync("/proc").flatMap((name) => {
    if (!/^\d+$/.test(name)) return [];
    try {
      const status = readFileSync(join("/proc", name, "status"), "utf8");
      if (!status.includes(`\nPPid:\t${parent}\n`)) return [];
      return [{ pid: Number(name), state: /^State:\t(\S)/m.exec(status)?.[1] ?? "" }];
    } catch {
      return [];
    }
  });
}

/** Orphans of every kind that end soon: background jobs, sessions of their own, a burst of double forks. */
const orphans = {
  "background jobs of a shell": "for n in 1 2 3 4; do (sleep 0.2 &); done",
  "sessions of their own": "for n in 1 2 3 4; do (setsid sleep 0.2 &); done",
  "a burst of a hundred that end at once": `python3 -c '
import os
for n in range(100):
    pid = os.fork()
    if pid == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.waitpid(pid, 0)'`,
};

const noZombies = (first: number) =>
  until("all orphans to be collected", () => {
    const children = childrenOf(first);
    return children.some(({ state }) => state === "Z") ? null : children;
  });

describe("run as the first process of a container collects orphans", () => {
  for (const [name, script] of Object.entries(orphans)) {
    withContainers(`of its command: ${name}`, async () => {
      const of = configuration(await temporaryRoot());
      const running = await startFirst(of, ["--", "bash", "-c", `${script}; sleep 0.5; echo over; exec cat`]);
      await running.waitFor("over");
      expect(await noZombies(running.first)).toHaveLength(1);
      running.closeInput();
      expect(await running.finished).toMatchObject({ exitCode: 0 });
    });
  }

  requiresPrograms(
    "unshare --pid",
    "nsenter",
    "bash",
  )("of others, while it waits for the lock", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const running = await startFirst(of, ["--wait", "--", "true"]);
    await until("the wait", () => (running.stderr().includes("Waiting for") ? true : null));
    const enter = [
      "--target",
      String(running.first),
      "--pid",
      "--mount",
      "bash",
      "-c",
      "for n in 1 2 3 4; do (setsid sleep 2 >/dev/null 2>&1 &); done",
    ];
    await startProcess("nsenter", enter, { env: environment() }).finished;
    const before = await until("the orphans", () => {
      const names = childrenOf(running.first).map(({ pid }) => commOf(pid));
      return names.filter((comm) => comm === "sleep").length === 4 ? names : null;
    });
    const helpers = before.length - 4;
    await until("their end", () => (childrenOf(running.first).length === helpers ? true : null));
    holder.closeInput();
    expect(await running.finished).toMatchObject({ exitCode: 0 });
  });

  withContainers("of its command, while it waits for what that has left", async () => {
    const of = configuration(await temporaryRoot());
    const script = `setsid bash -c '${orphans["background jobs of a shell"]}; sleep 0.5; echo over; exec sleep 30' &`;
    const running = await startFirst(of, ["--", "bash", "-c", script]);
    await running.waitFor("over");
    expect(await noZombies(running.first)).toHaveLength(1);
    process.kill(running.first, "SIGTERM");
    expect(await running.finished).toMatchObject({ exitCode: 0 });
  });
});

function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

const cluster = sharedCluster();
requiresPrograms(
  "unshare --pid",
  "bash",
  "etcd",
  "etcdctl",
)("with the lock on etcd it collects orphans, and leaves its keeper alone", async () => {
  const { url, env } = await cluster();
  const of = configuration(await temporaryRoot());
  const script = `${orphans["sessions of their own"]}; sleep 0.5; echo over; exec cat`;
  const running = await startFirst(of, ["--", "bash", "-c", script], { ...env, TRAINLOCK_STORE: url });
  await running.waitFor("over");
  // The command and the keeper.
  expect(await noZombies(running.first)).toHaveLength(2);
  running.closeInput();
  expect(await running.finished).toMatchObject({ exitCode: 0 });
});
