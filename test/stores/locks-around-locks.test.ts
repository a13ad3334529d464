import { expect, onTestFinished, test } from "vitest";
import { parseConfiguration } from "../../src/model/configuration.ts";
import { EnvironmentError } from "../../src/model/errors.ts";
import { defaultLayout } from "../../src/site/layout.ts";
import { bothStores } from "../../src/stores/both-stores.ts";
import { type Launch, launchFrom } from "../../src/stores/ranks/launch.ts";
import { LaunchLeader } from "../../src/stores/ranks/lead-ranks.ts";
import { findStatuses } from "../../src/stores/ranks/rank-status.ts";
import { nobodyKnown } from "../../src/stores/record-holder.ts";
import type { Attempt, LockStore } from "../../src/stores/store.ts";
import { heldLock } from "../support/held-lock.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const configuration = parseConfiguration({ strategy: "a", dataset: "b", model: "c" });

/** Claims of which each can be claimed again, under a higher generation. */
function store(): LockStore & { claimAgain(): void } {
  let generation = 1;
  const lock = heldLock({
    get generation() {
      return generation;
    },
  });
  return {
    acquire: async () => ({ kind: "held", lock }),
    claimAgain: () => {
      generation += 1;
    },
  };
}

/** Files that are busy at first. Counts the places in their queue that are given up, and notes the attempts made at them. */
function busyFiles() {
  const seen = { givenUp: 0, tokens: [] as (string | undefined)[] };
  const place: Attempt = {
    acquire: (token) => {
      seen.tokens.push(token);
      return store().acquire(configuration, null);
    },
    giveUp: () => {
      seen.givenUp += 1;
    },
  };
  const active = { status: "active", label: "ACTIVE" } as const;
  const busy = { holder: nobodyKnown, verdict: active, evidence: [], path: "nowhere" };
  const files: LockStore = { acquire: async () => ({ kind: "busy", busy, wait: async () => place }) };
  return { files, seen };
}

async function waitedAttempt(around: LockStore): Promise<Attempt> {
  const first = await around.acquire(configuration, null);
  const attempt = first.kind === "busy" ? await first.wait?.(new AbortController().signal) : null;
  if (!attempt) throw new Error("should have waited");
  return attempt;
}

test("a place in the queue for the files is given up when the remote store fails", async () => {
  const away = new EnvironmentError("away", { code: "X" });
  let calls = 0;
  const remote: LockStore = {
    acquire: (...request) => (calls++ === 0 ? store().acquire(...request) : Promise.reject(away)),
  };
  const { files, seen } = busyFiles();
  const attempt = await waitedAttempt(bothStores(remote, files));
  await expect(attempt.acquire()).rejects.toBe(away);
  expect(seen).toEqual({ givenUp: 1, tokens: [] });
});

test("whoever has waited for the files uses its place under the remote store's claim, or gives it up", async () => {
  const { files, seen } = busyFiles();
  const both = bothStores(store(), files);
  expect(await (await waitedAttempt(both)).acquire()).toMatchObject({ kind: "held" });
  expect(seen).toEqual({ givenUp: 0, tokens: ["0".repeat(32)] });
  (await waitedAttempt(both)).giveUp();
  expect(seen.givenUp).toBe(1);
});

/** Rank 0 of a launch of two, around another store. */
async function rankZero(inner: LockStore) {
  const layout = defaultLayout(await temporaryRoot());
  const launch = launchFrom({ SLURM_JOB_ID: "7", SLURM_STEP_ID: "0", SLURM_PROCID: "0", SLURM_STEP_NUM_TASKS: "2" });
  const leader = new LaunchLeader(inner, layout, configuration, launch as Launch, {
    patienceMs: 0,
    onNote: () => undefined,
  });
  onTestFinished(() => leader.conclude());
  return { store: leader.store, statuses: () => findStatuses(layout.kernelLockPath(configuration)) };
}

test("rank 0 tells the others of a lock that it got by waiting", async () => {
  const { files } = busyFiles();
  const { store: around, statuses } = await rankZero(files);
  expect(await (await waitedAttempt(around)).acquire()).toMatchObject({ kind: "held" });
  expect(statuses()).toMatchObject([{ status: { state: "held", token: "0".repeat(32) } }]);
});

test.each([
  ["both stores", async (inner: LockStore) => bothStores(inner, store())],
  ["rank 0", async (inner: LockStore) => (await rankZero(inner)).store],
] as const)("a lock that was claimed again has its new generation, through %s", async (_, around) => {
  const inner = store();
  const acquired = await (await around(inner)).acquire(configuration, null);
  if (acquired.kind === "busy") throw new Error("was free");
  expect(acquired.lock.generation).toBe(1);
  inner.claimAgain();
  expect(acquired.lock.generation).toBe(2);
});
