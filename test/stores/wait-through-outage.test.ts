import { expect, test } from "vitest";
import { EtcdError } from "../../src/etcd/errors.ts";
import { parseConfiguration } from "../../src/model/configuration.ts";
import { EnvironmentError } from "../../src/model/errors.ts";
import type { Acquisition, BusyAnswer, LockStore } from "../../src/stores/store.ts";
import { acquireOrWait } from "../../src/stores/wait-for-lock.ts";
import { heldLock } from "../support/held-lock.ts";

const lock = heldLock({ address: "etcd://nowhere" });
const holder = {
  pid: 1,
  hostname: "a",
  user: "b",
  jobId: null,
  acquiredAt: null,
  generation: 1,
  command: null,
  living: null,
};
const held: Acquisition = { kind: "held", lock };
const busy: BusyAnswer = {
  kind: "busy",
  wait: null,
  busy: { holder, verdict: { status: "active", label: "ACTIVE" }, evidence: [], path: "etcd://nowhere" },
};
const details = { code: "X", mayHaveHappened: true };
const away = new EtcdError("no leader", "a:1", "etcd at a:1: no leader", details);
const denied = new EtcdError("permission denied", "a:1", "etcd at a:1: permission denied", details);

/** Waits with a store whose attempts end like this, one after another, and from then on like the last. */
async function wait(endings: readonly (Acquisition | Error)[], waitMs: number, interrupted?: AbortSignal) {
  let attempts = 0;
  const acquire = async (): Promise<Acquisition> => {
    const ending = endings[Math.min(attempts, endings.length - 1)];
    attempts += 1;
    if (ending === undefined || ending instanceof Error) throw ending;
    // Something changes at once, as far as a wait can tell.
    return ending === busy ? { ...busy, wait: async () => ({ acquire, giveUp: () => undefined }) } : ending;
  };
  const store: LockStore = { acquire };
  const outages: string[] = [];
  const request = {
    store,
    configuration: parseConfiguration({ strategy: "a", dataset: "b", model: "c" }),
    command: ["true"],
    waitMs,
    ...(interrupted && { interrupted }),
    onOutage: ({ message }: EnvironmentError) => void outages.push(message),
  };
  const outcome = await acquireOrWait(request).catch((error: unknown) => error);
  return { outcome, attempts, outages };
}

test("a wait goes on while the store does not answer, and says so once", async () => {
  expect(await wait([busy, away, away, held], 60_000)).toEqual({
    outcome: held,
    attempts: 4,
    outages: ["etcd at a:1: no leader"],
  });
});

test("a store that does not answer when the time is over is a broken one, not a busy one", async () => {
  expect(await wait([busy, away], 1500)).toMatchObject({ outcome: away });
});

test("a wait that is interrupted while the store does not answer ends at once", async () => {
  const startedAt = performance.now();
  expect(await wait([busy, away], 60_000, AbortSignal.timeout(100))).toMatchObject({
    outcome: { kind: "busy", busy: busy.busy },
  });
  expect(performance.now() - startedAt).toBeLessThan(900);
});

test("nobody waits for a store that has not answered yet, nor without being asked to", async () => {
  expect(await wait([away, held], 60_000)).toEqual({ outcome: away, attempts: 1, outages: [] });
  expect(await wait([away, held], 0)).toEqual({ outcome: away, attempts: 1, outages: [] });
});

test("what waiting does not mend ends the wait", async () => {
  const full = new EnvironmentError("no space", { code: "ENOSPC" });
  expect(await wait([busy, full, held], 60_000)).toMatchObject({ outcome: full, attempts: 2 });
  expect(await wait([busy, denied, held], 60_000)).toMatchObject({ outcome: denied, attempts: 2 });
});
