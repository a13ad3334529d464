import { expect, test } from "vitest";
import { EtcdError } from "../../src/etcd/errors.ts";
import { parseConfiguration } from "../../src/model/configuration.ts";
import { EnvironmentError } from "../../src/model/errors.ts";
import { acquireOrWait } from "../../src/run/wait-for-claim.ts";
import { defaultLayout } from "../../src/site/layout.ts";
import type { Acquisition, HeldLock, LockStore } from "../../src/stores/store.ts";

const silent = () => undefined;
const nothing = async () => undefined;
const lock: HeldLock = {
  token: "0".repeat(32),
  generation: 1,
  address: "etcd://nowhere",
  lost: new AbortController().signal,
  descriptors: [],
  noteChild: nothing,
  check: nothing,
  assertHeld: nothing,
  release: nothing,
};
const holder = { pid: 1, hostname: "a", user: "b", jobId: null, acquiredAt: null, generation: 1, command: null };
const held: Acquisition = { kind: "held", lock };
const busy: Acquisition = {
  kind: "busy",
  busy: { holder, verdict: { status: "active", label: "ACTIVE" }, evidence: [], path: "etcd://nowhere" },
};
const details = { code: "X", mayHaveHappened: true };
const away = new EtcdError("no leader", "a:1", "etcd at a:1: no leader", details);
const denied = new EtcdError("permission denied", "a:1", "etcd at a:1: permission denied", details);

/** Waits with a store whose attempts end like this, one after another, and from then on like the last. */
async function wait(endings: readonly (Acquisition | Error)[], waitMs: number, interrupted?: AbortSignal) {
  let attempts = 0;
  const store: LockStore = {
    acquire: async () => {
      const ending = endings[Math.min(attempts, endings.length - 1)];
      attempts += 1;
      if (ending === undefined || ending instanceof Error) throw ending;
      return ending;
    },
    awaitTurn: async () => null,
  };
  const warnings: string[] = [];
  const request = {
    layout: defaultLayout("/nowhere"),
    store,
    configuration: parseConfiguration({ strategy: "a", dataset: "b", model: "c" }),
    argv: ["true"] as const,
    env: {},
    done: { patterns: [], smallestBytes: 0, file: null },
    leads: true,
    waitMs,
    onLost: "stop" as const,
    killAfterMs: 0,
    tell: {
      ...{ waiting: silent, waited: silent, held: silent, lost: silent, remaining: silent, killing: silent },
      warning: (text: string) => void warnings.push(text),
    },
  };
  const outcome = await acquireOrWait(request, interrupted ?? new AbortController().signal).catch(
    (error: unknown) => error,
  );
  return { outcome, attempts, warnings };
}

test("a wait goes on while the store does not answer, and says so once", async () => {
  expect(await wait([busy, away, away, held], 60_000)).toEqual({
    outcome: held,
    attempts: 4,
    warnings: ["the store does not answer, still waiting: etcd at a:1: no leader"],
  });
});

test("a store that does not answer when the time is over is a broken one, not a busy one", async () => {
  expect(await wait([busy, away], 1500)).toMatchObject({ outcome: away });
});

test("a wait that is interrupted while the store does not answer ends at once", async () => {
  const startedAt = performance.now();
  expect(await wait([busy, away], 60_000, AbortSignal.timeout(100))).toMatchObject({ outcome: busy });
  expect(performance.now() - startedAt).toBeLessThan(900);
});

test("nobody waits for a store that has not answered yet, nor without being asked to", async () => {
  expect(await wait([away, held], 60_000)).toEqual({ outcome: away, attempts: 1, warnings: [] });
  expect(await wait([away, held], 0)).toEqual({ outcome: away, attempts: 1, warnings: [] });
});

test("what waiting does not mend ends the wait", async () => {
  const full = new EnvironmentError("no space", { code: "ENOSPC" });
  expect(await wait([busy, full, held], 60_000)).toMatchObject({ outcome: full, attempts: 2 });
  expect(await wait([busy, denied, held], 60_000)).toMatchObject({ outcome: denied, attempts: 2 });
});
