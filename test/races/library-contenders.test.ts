import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { describeOverlap, overlapsOf, readJournal, repeatedGenerations } from "../support/intervals.ts";
import { leaveDeadJobsMarker, leaveEmptyMarker, leaveStaleClaim, leftovers } from "../support/scenarios.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { Contenders, monotonic } from "./contenders.ts";

const soak = process.env.TRAINLOCK_SOAK === "1";
const processes = 8;
const rounds = soak ? 20_000 : 2_000;
const takeovers = soak ? 600 : 60;

async function arena() {
  const root = await temporaryRoot();
  const occupancy = join(root, "occupied");
  mkdirSync(occupancy);
  const journal = join(root, "journal");
  const start = async () => {
    const contenders = new Contenders(root, journal, occupancy);
    expect(await contenders.hear()).toEqual({ ready: true });
    return contenders;
  };
  return { root, journal, occupancy: join(occupancy, "chaotic"), start };
}

describe("64 contenders through the library", () => {
  test(`${rounds} rounds of one configuration`, async () => {
    const { root, journal, start } = await arena();
    const all = await Promise.all(Array.from({ length: processes }, start));
    for (const each of all) each.tell({ contend: "contended" });
    await untilHoldings(journal, rounds);
    for (const each of all) each.tell({ stop: true });
    const counts = await Promise.all(all.map((each) => each.hear()));
    const { intervals, complaints } = readJournal(journal, new Map());
    const attempts = counts.reduce((sum, count) => sum + (count?.attempts ?? 0), 0);
    tally({ rounds: intervals.length, attempts, overlaps: overlapsOf(intervals).length });
    console.info(
      `rounds: ${intervals.length} holdings in ${attempts} attempts, overlaps ${overlapsOf(intervals).length}`,
    );
    expect(complaints).toEqual([]);
    expect(overlapsOf(intervals).map(describeOverlap)).toEqual([]);
    expect(repeatedGenerations(intervals)).toEqual([]);
    expect(intervals.length).toBeGreaterThanOrEqual(rounds);
    expect(leftovers(configuration(root, "baseline", "IDD-AW", "contended"))).toEqual([]);
  }, 600_000);

  test("with processes killed, stopped and continued in between", async () => {
    const { root, journal, occupancy, start } = await arena();
    let all = await Promise.all(Array.from({ length: processes }, start));
    for (const each of all) each.tell({ contend: "chaotic" });
    const kills = new Map<number, bigint>();
    let stops = 0;
    const until = Date.now() + (soak ? 60_000 : 8_000);
    // On a busy machine a new contender takes seconds to start: so many kills that some of them meet a holder.
    const isEnough = () => Date.now() > until && (kills.size >= 12 || Date.now() > until + 60_000);
    while (!isEnough()) {
      await sleep(Math.random() * 30);
      // Whoever holds is the one whose death is worth trying; the lock may change hands before the signal arrives.
      const holder = holderIn(occupancy);
      const holding = all.find(({ pid }) => pid === holder);
      const victim = Math.random() < 0.8 ? holding : all[Math.floor(Math.random() * all.length)];
      if (victim === undefined) continue;
      if (Math.random() < 0.5) {
        stops += 1;
        victim.kill("SIGSTOP");
        await sleep(Math.random() * 60);
        victim.kill("SIGCONT");
      } else {
        kills.set(victim.pid, monotonic());
        victim.kill("SIGKILL");
        const replacement = await start();
        replacement.tell({ contend: "chaotic" });
        all = all.map((each) => (each === victim ? replacement : each));
      }
    }
    // Whatever the last victim left is taken over before all is looked at.
    await sleep(1_000);
    for (const each of all) each.tell({ stop: true });
    await Promise.all(all.map((each) => each.hear()));
    const { intervals, complaints } = readJournal(journal, kills);
    const cut = intervals.filter(({ killed }) => killed).length;
    tally({ rounds: intervals.length, kills: kills.size, stops, overlaps: overlapsOf(intervals).length });
    console.info(
      `chaos: ${intervals.length} holdings, ${kills.size} processes of 8 contenders killed, ${cut} of them while holding, ` +
        `${stops} stopped and continued, overlaps ${overlapsOf(intervals).length}`,
    );
    expect(complaints).toEqual([]);
    expect(overlapsOf(intervals).map(describeOverlap)).toEqual([]);
    expect(repeatedGenerations(intervals)).toEqual([]);
    expect(cut).toBeGreaterThan(0);
    expect(leftovers(configuration(root, "baseline", "IDD-AW", "chaotic"))).toEqual([]);
  }, 600_000);

  const staleness = [
    { title: "a killed claim", leave: leaveStaleClaim },
    { title: "a dead job's bare PID", leave: leaveDeadJobsMarker },
    { title: "an empty marker of long ago", leave: leaveEmptyMarker },
  ];

  test(`${takeovers} takeovers of a stale marker, one winner each`, async () => {
    const { root, journal, start } = await arena();
    const all = await Promise.all(Array.from({ length: processes }, start));
    const wrong: string[] = [];
    for (let round = 0; round < takeovers; round++) {
      const kind = staleness[round % staleness.length];
      const model = `stale${round}`;
      await kind?.leave(configuration(root, "baseline", "IDD-AW", model));
      for (const each of all) each.tell({ race: model });
      const outcomes = await Promise.all(all.map((each) => each.hear()));
      const winners = outcomes.flatMap((message) => message?.outcomes ?? []).filter(Boolean).length;
      if (winners !== 1) wrong.push(`${kind?.title}: ${winners} winners`);
      for (const each of all) each.tell({ release: true });
      await Promise.all(all.map((each) => each.hear()));
    }
    const { intervals, complaints } = readJournal(journal, new Map());
    tally({ takeovers, overlaps: overlapsOf(intervals).length });
    console.info(
      `takeovers: ${takeovers} of a stale marker by 64 contenders, overlaps ${overlapsOf(intervals).length}`,
    );
    expect(wrong).toEqual([]);
    expect(complaints).toEqual([]);
    expect(overlapsOf(intervals).map(describeOverlap)).toEqual([]);
    expect(intervals).toHaveLength(takeovers);
  }, 600_000);
});

function holderIn(occupancy: string): number | null {
  try {
    return Number(readFileSync(occupancy, "utf8").split(" ")[0]);
  } catch {
    return null;
  }
}

async function untilHoldings(journal: string, wanted: number): Promise<void> {
  const giveUpAt = Date.now() + 500_000;
  for (;;) {
    await sleep(200);
    const { intervals } = readJournal(journal, new Map());
    if (intervals.length >= wanted) return;
    if (Date.now() > giveUpAt) throw new Error(`only ${intervals.length} holdings of ${wanted}`);
  }
}
