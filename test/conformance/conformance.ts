import { describe, expect, test } from "vitest";
import { type Configuration, parseConfiguration } from "../../src/model/configuration.ts";
import type { Acquisition, HeldLock, LockStore } from "../../src/stores/store.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

/** Whoever has a lock that was taken away from its holder. */
export interface Successor {
  stillHas(): boolean | Promise<boolean>;
  giveBack(): void | Promise<void>;
}

/** What the suite needs of a store: the store itself, how others see its locks, and a way to take one from its holder. */
export interface StoreUnderTest {
  /** Each of its attempts is that of an independent contender. */
  readonly store: LockStore;
  /** Whether others are told that somebody has it. */
  isShown(configuration: Configuration): Promise<boolean>;
  /** Gives the lock to somebody else behind its holder's back, as a fault or another program would. */
  takeAway(configuration: Configuration): Successor | Promise<Successor>;
  /** The process that has a lock; absent: this one. */
  holderPid?(lock: HeldLock): number;
}

export interface Traits {
  readonly namesHolder: boolean;
  readonly hasGenerations: boolean;
  /** Whether one claim's generation is one more than that of the claim before. */
  readonly countsByOne: boolean;
  /** Only of what has generations. */
  readonly signalsLoss: boolean;
  /** How often it changes hands while others look; fewer where each time takes longer. */
  readonly changes?: number;
  /** Where a kind of lock needs programs that may not be there: skips its tests aloud. */
  readonly testWith?: (name: string, body: () => Promise<void>) => void;
}

/** The properties that every lock has to have, whatever keeps it. */
export function conformance(
  name: string,
  traits: Traits,
  open: (root: string) => StoreUnderTest | Promise<StoreUnderTest>,
): void {
  const one = parseConfiguration({ strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50" });
  const other = parseConfiguration({ strategy: "baseline", dataset: "IDD-AW", model: "segformer_mit-b5" });
  const { testWith = test } = traits;
  const opened = async () => open(await temporaryRoot());

  describe(name, () => {
    testWith("one of many contenders has it", async () => {
      const { store } = await opened();
      const attempts = await Promise.all(Array.from({ length: 16 }, () => attempt(store, one)));
      const winners = attempts.flatMap((outcome) => (outcome.kind === "held" ? [outcome.lock] : []));
      expect(winners).toHaveLength(1);
      await winners[0]?.release();
    });

    testWith("another configuration is another lock", async () => {
      const { store } = await opened();
      const both = [await hold(store, one), await hold(store, other)];
      for (const held of both) await held.release();
    });

    testWith("the turned away are told who has it", async () => {
      const { store, holderPid = () => process.pid } = await opened();
      const held = await hold(store, one);
      const answer = await attempt(store, one);
      expect(answer.kind === "busy" && answer.busy.holder.pid).toBe(traits.namesHolder ? holderPid(held) : null);
      await held.release();
    });

    testWith("being turned away changes nothing for the holder", async () => {
      const { store, isShown } = await opened();
      const held = await hold(store, one);
      for (let times = 0; times < 5; times++) expect((await attempt(store, one)).kind).toBe("busy");
      await held.check();
      expect(held.lost.aborted).toBe(false);
      expect(await isShown(one)).toBe(true);
      await held.release();
    });

    testWith("once released it can be had again, by the same and by others", async () => {
      const { store } = await opened();
      for (let times = 0; times < 5; times++) {
        const held = await hold(store, one);
        expect((await attempt(store, one)).kind).toBe("busy");
        await held.release();
      }
    });

    testWith("a second release does nothing, not even to a successor", async () => {
      const { store, isShown } = await opened();
      const first = await hold(store, one);
      await first.release();
      const successor = await hold(store, one);
      await first.release();
      await successor.check();
      expect(successor.lost.aborted).toBe(false);
      expect(await isShown(one)).toBe(true);
      expect((await attempt(store, one)).kind).toBe("busy");
      await successor.release();
    });

    testWith("release spares the lock of whoever took it away", async () => {
      const { store, takeAway } = await opened();
      const first = await hold(store, one);
      const successor = await takeAway(one);
      await first.release();
      expect(await successor.stillHas()).toBe(true);
      expect((await attempt(store, one)).kind).toBe("busy");
      await successor.giveBack();
    });

    testWith("it is shown while it is held, and at no other time", async () => {
      const { store, isShown } = await opened();
      expect(await isShown(one)).toBe(false);
      const held = await hold(store, one);
      expect(await isShown(one)).toBe(true);
      expect(await isShown(other)).toBe(false);
      await held.release();
      expect(await isShown(one)).toBe(false);
    });

    testWith("looking while it changes hands neither fails nor hides a holder nor turns one away", async () => {
      const { store, isShown } = await opened();
      const always = await hold(store, other);
      let over = false;
      let looks = 0;
      const looking = (async () => {
        for (; !over || looks === 0; looks++) {
          await isShown(one);
          expect(await isShown(other)).toBe(true);
        }
      })();
      for (let times = 0; times < (traits.changes ?? 100); times++) {
        const held = await hold(store, one);
        await held.release();
      }
      over = true;
      await looking;
      await always.release();
    });

    if (!traits.hasGenerations) return;

    testWith("every claim has a higher generation than those before", async () => {
      const { store } = await opened();
      const seen: number[] = [];
      for (let times = 0; times < 4; times++) {
        const held = await hold(store, one);
        seen.push(held.generation);
        await held.release();
      }
      if (traits.countsByOne) expect(seen).toEqual([1, 2, 3, 4]);
      expect(seen.every((generation, index) => generation > (seen[index - 1] ?? 0))).toBe(true);
    });

    if (!traits.signalsLoss) return;

    testWith("a loss is told exactly once, with the reason", async () => {
      const { store, takeAway } = await opened();
      const held = await hold(store, one);
      let told = 0;
      held.lost.addEventListener("abort", () => {
        told += 1;
      });
      await held.check();
      expect(told).toBe(0);
      const successor = await takeAway(one);
      await held.check();
      await held.check();
      expect(told).toBe(1);
      expect(held.lost.reason).toBeInstanceOf(Error);
      await held.release();
      expect(told).toBe(1);
      expect(await successor.stillHas()).toBe(true);
      await successor.giveBack();
    });

    testWith("after a release there is nothing to lose", async () => {
      const { store, takeAway } = await opened();
      const held = await hold(store, one);
      await held.release();
      const successor = await takeAway(one);
      await held.check();
      expect(held.lost.aborted).toBe(false);
      await successor.giveBack();
    });
  });
}

function attempt(store: LockStore, configuration: Configuration): Promise<Acquisition> {
  return store.acquire(configuration, null);
}

async function hold(store: LockStore, configuration: Configuration): Promise<HeldLock> {
  const answer = await attempt(store, configuration);
  if (answer.kind === "busy") throw new Error(`should be free, is held by ${answer.busy.holder.pid}`);
  return answer.lock;
}
