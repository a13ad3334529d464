import { expect, test } from "vitest";
import { parseConfiguration } from "../../src/model/configuration.ts";
import { EnvironmentError } from "../../src/model/errors.ts";
import { defaultLayout } from "../../src/site/layout.ts";
import { bothStores } from "../../src/stores/both-stores.ts";
import { leadRanks } from "../../src/stores/ranks/lead-ranks.ts";
import type { HeldLock, LockStore } from "../../src/stores/store.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const configuration = parseConfiguration({ strategy: "a", dataset: "b", model: "c" });
const nothing = async () => undefined;

/** Claims of which each can be claimed again, under a higher generation. */
function store(): LockStore & { claimAgain(): void } {
  let generation = 1;
  const lock: HeldLock = {
    token: "0".repeat(32),
    get generation() {
      return generation;
    },
    address: "nowhere",
    lost: new AbortController().signal,
    descriptors: [],
    noteChild: nothing,
    check: nothing,
    assertHeld: nothing,
    release: nothing,
  };
  return {
    acquire: async () => ({ kind: "held", lock }),
    awaitTurn: async () => null,
    claimAgain: () => {
      generation += 1;
    },
  };
}

test("a place in the queue for the files is given up when the remote store fails", async () => {
  let givenUp = 0;
  const away = new EnvironmentError("away", { code: "X" });
  const remote: LockStore = { acquire: () => Promise.reject(away), awaitTurn: async () => null };
  const turn = {
    giveUp: () => {
      givenUp += 1;
    },
  };
  await expect(bothStores(remote, store()).acquire(configuration, null, turn)).rejects.toBe(away);
  expect(givenUp).toBe(1);
});

test.each([
  ["both stores", async (inner: LockStore) => bothStores(inner, store())],
  [
    "rank 0",
    async (inner: LockStore) => {
      const layout = defaultLayout(await temporaryRoot());
      return leadRanks(inner, layout, configuration, { rank: 0, size: 2, key: "k" }, 0).store;
    },
  ],
] as const)("a lock that was claimed again has its new generation, through %s", async (_, around) => {
  const inner = store();
  const acquired = await (await around(inner)).acquire(configuration, null);
  if (acquired.kind === "busy") throw new Error("was free");
  expect(acquired.lock.generation).toBe(1);
  inner.claimAgain();
  expect(acquired.lock.generation).toBe(2);
});
