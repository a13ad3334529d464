import { describe, expect, test } from "vitest";
import { type Configuration, parseConfiguration } from "../../src/model/configuration.ts";
import type { LockStore } from "../../src/stores/store.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

/** A lock that is held, as far as the kind of lock has these things. */
export interface Held {
  readonly generation: number | null;
  readonly lost: AbortSignal | null;
  /** The process that has it; absent: this one. */
  readonly pid?: number;
  check(): Promise<void>;
  release(): Promise<void>;
}

export type Attempt =
  | { readonly kind: "held"; readonly held: Held }
  /** `holderPid` null: this kind of lock cannot name its holder. */
  | { readonly kind: "busy"; readonly holderPid: number | null };

/** Whoever has a lock that was taken away from its holder. */
export interface Successor {
  stillHas(): boolean | Promise<boolean>;
  giveBack(): void | Promise<void>;
}

/** What the suite asks of a lock. An implementation of locks plugs in with one such object. */
export interface LockUnderTest {
  /** One attempt of an independent contender. */
  attempt(configuration: Configuration): Promise<Attempt>;
  /** Whether others are told that somebody has it. */
  isShown(configuration: Configuration): Promise<boolean>;
  /** Gives the lock to somebody else behind its holder's back, as a fault or another program would. */
  takeAway(configuration: Configuration): Promise<Successor>;
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
  makeLock: (root: string) => LockUnderTest | Promise<LockUnderTest>,
): void {
  const one = parseConfiguration({ strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50" });
  const other = parseConfiguration({ strategy: "baseline", dataset: "IDD-AW", model: "segformer_mit-b5" });
  const { testWith = test } = traits;
  const lock = async () => makeLock(await temporaryRoot());

  describe(name, () => {
    testWith("one of many contenders has it", async () => {
      const { attempt } = await lock();
      const attempts = await Promise.all(Array.from({ length: 16 }, () => attempt(one)));
      const winners = attempts.flatMap((outcome) => (outcome.kind === "held" ? [outcome.held] : []));
      expect(winners).toHaveLength(1);
      await winners[0]?.release();
    });

    testWith("another configuration is another lock", async () => {
      const { attempt } = await lock();
      const both = [await hold(attempt(one)), await hold(attempt(other))];
      for (const held of both) await held.release();
    });

    testWith("the turned away are told who has it", async () => {
      const { attempt } = await lock();
      const held = await hold(attempt(one));
      expect(await attempt(one)).toEqual({
        kind: "busy",
        holderPid: traits.namesHolder ? (held.pid ?? process.pid) : null,
      });
      await held.release();
    });

    testWith("being turned away changes nothing for the holder", async () => {
      const { attempt, isShown } = await lock();
      const held = await hold(attempt(one));
      for (let times = 0; times < 5; times++) expect((await attempt(one)).kind).toBe("busy");
      await held.check();
      expect(held.lost?.aborted ?? false).toBe(false);
      expect(await isShown(one)).toBe(true);
      await held.release();
    });

    testWith("once released it can be had again, by the same and by others", async () => {
      const { attempt } = await lock();
      for (let times = 0; times < 5; times++) {
        const held = await hold(attempt(one));
        expect((await attempt(one)).kind).toBe("busy");
        await held.release();
      }
    });

    testWith("a second release does nothing, not even to a successor", async () => {
      const { attempt, isShown } = await lock();
      const first = await hold(attempt(one));
      await first.release();
      const successor = await hold(attempt(one));
      await first.release();
      await successor.check();
      expect(successor.lost?.aborted ?? false).toBe(false);
      expect(await isShown(one)).toBe(true);
      expect((await attempt(one)).kind).toBe("busy");
      await successor.release();
    });

    testWith("release spares the lock of whoever took it away", async () => {
      const { attempt, takeAway } = await lock();
      const first = await hold(attempt(one));
      const successor = await takeAway(one);
      await first.release();
      expect(await successor.stillHas()).toBe(true);
      expect((await attempt(one)).kind).toBe("busy");
      await successor.giveBack();
    });

    testWith("it is shown while it is held, and at no other time", async () => {
      const { attempt, isShown } = await lock();
      expect(await isShown(one)).toBe(false);
      const held = await hold(attempt(one));
      expect(await isShown(one)).toBe(true);
      expect(await isShown(other)).toBe(false);
      await held.release();
      expect(await isShown(one)).toBe(false);
    });

    testWith("looking while it changes hands neither fails nor hides a holder nor turns one away", async () => {
      const { attempt, isShown } = await lock();
      const always = await hold(attempt(other));
      let over = false;
      let looks = 0;
      const looking = (async () => {
        for (; !over || looks === 0; looks++) {
          await isShown(one);
          expect(await isShown(other)).toBe(true);
        }
      })();
      for (let times = 0; times < (traits.changes ?? 100); times++) {
        const held = await hold(attempt(one));
        await held.release();
      }
      over = true;
      await looking;
      await always.release();
    });

    if (!traits.hasGenerations) return;

    testWith("every claim has a higher generation than those before", async () => {
      const { attempt } = await lock();
      const seen: (number | null)[] = [];
      for (let times = 0; times < 4; times++) {
        const held = await hold(attempt(one));
        seen.push(held.generation);
        await held.release();
      }
      if (traits.countsByOne) expect(seen).toEqual([1, 2, 3, 4]);
      const numbers = seen.map(Number);
      expect(numbers.every((generation, index) => generation > (numbers[index - 1] ?? 0))).toBe(true);
    });

    if (!traits.signalsLoss) return;

    testWith("a loss is told exactly once, with the reason", async () => {
      const { attempt, takeAway } = await lock();
      const held = await hold(attempt(one));
      let told = 0;
      held.lost?.addEventListener("abort", () => {
        told += 1;
      });
      await held.check();
      expect(told).toBe(0);
      const successor = await takeAway(one);
      await held.check();
      await held.check();
      expect(told).toBe(1);
      expect(held.lost?.reason).toBeInstanceOf(Error);
      await held.release();
      expect(told).toBe(1);
      expect(await successor.stillHas()).toBe(true);
      await successor.giveBack();
    });

    testWith("after a release there is nothing to lose", async () => {
      const { attempt, takeAway } = await lock();
      const held = await hold(attempt(one));
      await held.release();
      const successor = await takeAway(one);
      await held.check();
      expect(held.lost?.aborted).toBe(false);
      await successor.giveBack();
    });
  });
}

/** An attempt at a lock of any store, as the suite asks for it. */
export async function attemptAt(store: LockStore, configuration: Configuration): Promise<Attempt> {
  const acquired = await store.acquire(configuration, null);
  if (acquired.kind === "busy") return { kind: "busy", holderPid: acquired.busy.holder.pid };
  const { lock } = acquired;
  const { generation, lost } = lock;
  return { kind: "held", held: { generation, lost, check: () => lock.check(), release: () => lock.release() } };
}

async function hold(attempt: Promise<Attempt>): Promise<Held> {
  const outcome = await attempt;
  if (outcome.kind === "busy") throw new Error(`should be free, is held by ${outcome.holderPid}`);
  return outcome.held;
}
