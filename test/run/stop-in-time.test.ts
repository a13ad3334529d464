import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { noEvents } from "../../src/history/event-log.ts";
import { parseConfiguration } from "../../src/model/configuration.ts";
import { LockLostError } from "../../src/model/errors.ts";
import { noRunEnds } from "../../src/model/run-ends.ts";
import { statusOf } from "../../src/run/run-status.ts";
import { runUnderLock } from "../../src/run/run-under-lock.ts";
import type { Ended } from "../../src/run/running-command.ts";
import type { Starter } from "../../src/run/supervise.ts";
import { defaultLayout } from "../../src/site/layout.ts";
import { readTreeProcess } from "../../src/system/processes/process-tree.ts";
import { signalNumber } from "../../src/system/processes/signals.ts";
import { heldLock } from "../support/held-lock.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { until } from "../support/until.ts";

const silent = () => undefined;

/** Starts commands as Node can; the real one needs Bun. The tree is the command alone. */
const supervisor: Starter = {
  start: ({ argv: [file, ...args], environment: variables }) => {
    const env = Object.fromEntries(variables.map((entry) => Buffer.from(entry).toString().split(/=(.*)/s, 2)));
    const child = spawn(String(file), args.map(String), { detached: true, stdio: "ignore", env });
    const pid = child.pid;
    if (pid === undefined) throw new Error("did not start");
    const ended = new Promise<Ended>((resolve) => {
      child.on("exit", (code, signal) => {
        const ending =
          signal === null
            ? ({ kind: "exited", code: code ?? 0 } as const)
            : ({ kind: "signalled", signal: signalNumber(signal), coreDumped: false } as const);
        resolve({ ending, interrupted: null, hadTerminal: false });
      });
    });
    const living = () => {
      const found = readTreeProcess(pid);
      return found?.runs === true ? [found] : [];
    };
    const tree = { living, known: living, begun: () => [], session: () => pid };
    const hurried = new AbortController().signal;
    return { kind: "started", command: { pid, ended, tree, stopSignal: null, passedOn: new Set(), hurried } };
  },
};

/** A request for a command that does not hear SIGTERM, and makes a file when it is ready. */
function requestFor(root: string, ready: string, killAfterMs: number) {
  return {
    layout: defaultLayout(root),
    store: { acquire: () => Promise.reject(new Error("never asked")) },
    configuration: parseConfiguration({ strategy: "a", dataset: "b", model: "c" }),
    argv: ["sh", "-c", `trap '' TERM; : >${ready}; exec sleep 5`] as const,
    done: { patterns: [], smallestBytes: 0, file: null },
    isHeld: () => Promise.resolve(false),
    launch: null,
    leads: true,
    history: noEvents,
    waitMs: 0,
    onLost: "stop" as const,
    killAfterMs,
    leftovers: null,
    dieWithWrapper: false,
    tell: {
      waiting: silent,
      waited: silent,
      held: silent,
      lost: silent,
      remaining: silent,
      killing: silent,
      left: silent,
      warning: silent,
    },
  };
}

/** How a command ends that does not hear SIGTERM, and after how long, milliseconds. */
async function stop(stopWithinMs: number | null, killAfterMs: number) {
  const root = await temporaryRoot();
  const ready = join(root, "ready");
  const lost = new AbortController();
  const request = requestFor(root, ready, killAfterMs);
  const running = runUnderLock(request, heldLock({ lost: lost.signal, address: "/nowhere/a.lock" }), supervisor, {
    weightsDir: root,
    inherited: [],
    ends: noRunEnds,
  });
  await until("a command that ignores SIGTERM", () => (existsSync(ready) ? true : null));
  const lostAt = performance.now();
  lost.abort(new LockLostError("another has it", { stopWithinMs }));
  const outcome = await running;
  return { outcome, tookMs: performance.now() - lostAt };
}

test.each([
  ["what is left, less what killing takes", 750, 4000, 500],
  ["--kill-after, where that is shorter", 60_000, 400, 400],
  ["nothing, where nothing is left", 0, 4000, 0],
  ["nothing, where killing takes all that is left", 200, 4000, 0],
  ["--kill-after, where another may have it already", null, 400, 400],
])("a command whose lock is lost has %s", async (_, stopWithinMs, killAfterMs, expectedMs) => {
  const { outcome, tookMs } = await stop(stopWithinMs, killAfterMs);
  expect(outcome).toMatchObject({ kind: "lost", why: "another has it", ending: { kind: "signalled" } });
  expect(tookMs).toBeGreaterThanOrEqual(expectedMs - 5);
  expect(tookMs).toBeLessThan(expectedMs + 2000);
});

test.each(["stop", "warn"] as const)(
  "no command is started whose lock is lost before that (--on-lost %s)",
  async (onLost) => {
    const root = await temporaryRoot();
    const request = { ...requestFor(root, join(root, "ready"), 0), onLost };
    const lost = AbortSignal.abort(new LockLostError("another has it"));
    const never: Starter = {
      start: () => {
        throw new Error("was started");
      },
    };
    const error: unknown = await runUnderLock(request, heldLock({ lost, address: "/nowhere/a.lock" }), never, {
      weightsDir: root,
      inherited: [],
      ends: noRunEnds,
    }).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof LockLostError)) throw error;
    expect(error.message).toContain("another has it");
    expect(
      statusOf({ name: null, configuration: null, generation: null, command: [] }, error, error.exitCode),
    ).toMatchObject({ exitCode: 74, started: null, reason: "lost" });
  },
);
