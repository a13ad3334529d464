import { mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { flockJob, pythonJob } from "../support/peers.ts";
import { pythonEnvironment, pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("python3", "flock");
const isSoak = process.env.TRAINLOCK_SOAK !== undefined;
/** Of each contender, on average: `npm run test:python` asks for 500. */
const rounds = Number(process.env.TRAINLOCK_PYTHON_ROUNDS ?? 32);
const [contenders, holdings] = isSoak ? [16, 16 * rounds] : [4, 14];

interface Interval {
  /** The contender's number: in a long run PIDs come again. */
  readonly who: number;
  readonly generation: number;
  readonly from: bigint;
  /** Null: killed while it had the lock. */
  to: bigint | null;
}

function intervalsIn(path: string, killedAt: ReadonlyMap<number, bigint>): Interval[] {
  const found: Interval[] = [];
  for (const line of readFileSync(path, "utf8").split("\n").filter(Boolean)) {
    const [word, who, generation, at] = line.split(" ");
    if (word === "begin")
      found.push({ who: Number(who), generation: Number(generation), from: BigInt(at ?? 0), to: null });
    else {
      const own = found.find((each) => each.who === Number(who) && each.generation === Number(generation));
      if (own !== undefined) own.to = BigInt(at ?? 0);
    }
  }
  for (const each of found) each.to ??= killedAt.get(each.who) ?? null;
  return found.sort((a, b) => (a.from < b.from ? -1 : 1));
}

test("many Python contenders, killed at random, among old jobs that look in: no overlap, no generation twice, no ghost", async () => {
  const of = configuration(await temporaryRoot());
  const journal = join(of.root, "journal");
  const program = fileURLToPath(new URL("contender.py", import.meta.url));
  const killedAt = new Map<number, bigint>();
  let seed = 0;
  const start = () => {
    seed += 1;
    const started = startProcess("python3", [program, journal, "1000", String(seed)], {
      env: pythonEnvironment(of.root),
      timeoutMs: 3_600_000,
    });
    return { who: seed, started };
  };
  mkdirSync(of.lockDir);
  const running = Array.from({ length: contenders }, start);
  const begun = () => {
    try {
      return readFileSync(journal, "utf8").match(/^begin/gm)?.length ?? 0;
    } catch {
      return 0;
    }
  };
  for (let turn = 0; begun() < holdings; turn += 1) {
    // So that starting anew does not take all the time.
    const some = begun() + 1;
    await until("another to have the lock", () => (begun() >= some ? true : null), 60_000);
    await sleep((turn * 37) % 60);
    const index = (turn * 7) % running.length;
    const victim = running[index];
    if (victim === undefined) throw new Error("no contender");
    killedAt.set(victim.who, process.hrtime.bigint());
    victim.started.kill("SIGKILL");
    await victim.started.finished;
    running[index] = start();
    // Old jobs ask, empty the record, and are turned away or train for a moment: theirs is no interval of ours.
    if (turn % 5 === 0) (turn % 2 === 0 ? pythonJob : flockJob).start(of).closeInput();
  }
  for (const { who, started } of running) {
    killedAt.set(who, process.hrtime.bigint());
    started.kill("SIGKILL");
    await started.finished;
  }
  const intervals = intervalsIn(journal, killedAt);
  const tried = { rounds: intervals.length, kills: killedAt.size };
  tally(tried);
  expect(intervals.length).toBeGreaterThanOrEqual(holdings);
  for (const [index, next] of intervals.entries()) {
    const before = intervals[index - 1];
    if (before === undefined) continue;
    expect(before.to, `${before.who} before ${next.who}`).not.toBe(null);
    expect((before.to ?? 0n) <= next.from, `${before.who} and ${next.who} at once`).toBe(true);
    expect(next.generation).toBeGreaterThan(before.generation);
  }
  const last = pythonSession(of.root);
  expect(await last.tell("lock.acquire(True, 10)")).toBe(true);
  expect(await last.tell("lock.release()")).toBe(null);
  expect((await trainlock(["list", "--root", of.root])).stdout).toBe("No active training locks\n");
  expect(readdirSync(of.weightsDir)).toEqual([".training_lock.json"]);
  if (isSoak) {
    const killed = intervals.filter(({ who, to }) => to === killedAt.get(who)).length;
    console.log(
      `rounds ${tried.rounds}, kills ${tried.kills}, ${killed} of them of the holder: no overlap, no ghost, nothing to clear`,
    );
  }
}, 3_600_000);
