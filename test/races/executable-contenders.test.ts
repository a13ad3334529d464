import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { describeOverlap, type Interval, overlapsOf, readJournal, repeatedGenerations } from "../support/intervals.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { leaveDeadJobsMarker, leaveEmptyMarker, leaveStaleClaim, leftovers, listed } from "../support/scenarios.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, run } from "../support/trainlock.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";
import { monotonic } from "./contenders.ts";

const soak = process.env.TRAINLOCK_SOAK === "1";
const holder = fileURLToPath(new URL("holder.pl", import.meta.url));

const kinds = [
  { kind: "with kernel locks", contenders: 64, judgesBarePids: true, needs: ["perl"], beforeIn: () => [] },
  {
    kind: "by the marker alone",
    contenders: 16,
    // On a shared file system a bare PID may be any host's: nobody takes it over.
    judgesBarePids: false,
    needs: ["perl", "unshare --mount"],
    beforeIn: (root: string) => lustreWithoutLocks(root).toldAndTrue,
  },
  {
    kind: "with kernel locks that reach this host only",
    contenders: 16,
    judgesBarePids: false,
    needs: ["unshare --mount", "perl"],
    beforeIn: (root: string) => lustreWithoutLocks(root, "rw,localflock").told,
  },
] as const;

interface Arena {
  /** What the executable is started by. */
  readonly before: readonly string[];
  readonly root: string;
  readonly journal: string;
  commandFor(of: TestConfiguration, duration: string): readonly string[];
}

async function arena(beforeIn: (root: string) => readonly string[]): Promise<Arena> {
  const root = await temporaryRoot();
  const journal = join(root, "journal");
  const occupancy = join(root, "occupied");
  mkdirSync(occupancy);
  writeFileSync(journal, "");
  return {
    before: beforeIn(root),
    root,
    journal,
    commandFor: (of, duration) => [
      "run",
      ...of.args,
      "--",
      "perl",
      holder,
      join(occupancy, of.model),
      journal,
      of.model,
      duration,
    ],
  };
}

describe.each(kinds)("$contenders contenders through the executable, $kind", (where) => {
  const { contenders, needs, beforeIn } = where;
  const earlier = [
    { title: "nothing was there", leave: async () => {} },
    { title: "a killed claim was there", leave: leaveStaleClaim },
    { title: "a dead job's marker was there", leave: leaveDeadJobsMarker },
    { title: "an empty marker of long ago was there", leave: leaveEmptyMarker },
  ];
  for (const { title, leave } of earlier) {
    // Where other hosts may have the folder, neither is proven dead from here: both are unknown, and nobody starts.
    if ((leave === leaveDeadJobsMarker || leave === leaveEmptyMarker) && !where.judgesBarePids) continue;
    requiresPrograms(...needs)(
      `one trains, the others are turned away: ${title}`,
      async () => {
        for (let round = 0; round < (soak ? 20 : 1); round++) {
          const { before, root, journal, commandFor } = await arena(beforeIn);
          const of = configuration(root);
          await leave(of);
          const goOn = join(root, "go-on");
          const all = Array.from({ length: contenders }, () =>
            run([...before, executable, ...commandFor(of, `-${goOn}`)]),
          );
          let ended = 0;
          for (const each of all) void each.then(() => (ended += 1));
          while (ended < contenders - 1) await sleep(20);
          writeFileSync(goOn, "");
          const exitCodes = (await Promise.all(all)).map(({ exitCode }) => exitCode);
          expect(exitCodes.filter((code) => code === 0)).toHaveLength(1);
          expect(exitCodes.filter((code) => code === 75)).toHaveLength(contenders - 1);
          const { intervals, complaints } = readJournal(journal, new Map());
          tally({ rounds: 1, attempts: contenders, takeovers: leave === earlier[0]?.leave ? 0 : 1 });
          expect(complaints).toEqual([]);
          expect(intervals).toHaveLength(1);
          expect(leftovers(of)).toEqual([]);
        }
      },
      600_000,
    );
  }

  requiresPrograms(...needs)(
    "wrappers and commands killed, wrappers stopped and continued, releases racing claims",
    async () => {
      const { before, root, journal, commandFor } = await arena(beforeIn);
      const configurations = ["a", "b", "c"].map((model) => configuration(root, "baseline", "IDD-AW", model));
      const chaos = new Chaos(journal, before);
      const until = Date.now() + (soak ? 120_000 : 12_000);
      const surprises: string[] = [];
      const contend = async () => {
        while (Date.now() < until) {
          const of = configurations[Math.floor(Math.random() * configurations.length)];
          if (of === undefined) continue;
          const duration = String(Math.floor(Math.random() * 40));
          const ended = await chaos.start(commandFor(of, duration));
          if (!ended.expected) surprises.push(`exit ${ended.exitCode} ${ended.signal}: ${ended.stderr.trim()}`);
        }
      };
      await Promise.all([chaos.reignUntil(until), ...Array.from({ length: 12 }, contend)]);
      await chaos.everybodyGone();
      const { intervals, complaints } = readJournal(journal, chaos.kills);
      const { wrappersKilled, commandsKilled, bothKilled, stopped, turnedAway } = chaos;
      const kills = wrappersKilled + commandsKilled + 2 * bothKilled;
      const overlaps = overlapsOf(intervals).length;
      tally({ rounds: intervals.length, attempts: intervals.length + turnedAway, kills, stops: stopped, overlaps });
      console.info(
        `chaos: ${intervals.length} holdings, ${turnedAway} turned away, killed: ${wrappersKilled} wrappers, ${commandsKilled} commands, ` +
          `${bothKilled} both; ${stopped} wrappers stopped and continued; overlaps ${overlaps}`,
      );
      expect(surprises).toEqual([]);
      expect(complaints).toEqual([]);
      expect(overlapsOf(intervals).map(describeOverlap)).toEqual([]);
      expect(repeatedGenerations(intervals)).toEqual([]);
      // On a machine that is busy with other things there are few; none would prove nothing.
      expect(intervals.length).toBeGreaterThan(5);
      expect((await listed(root)).filter(({ status }) => status === "active")).toEqual([]);
      for (const of of configurations) {
        expect(await run([...before, executable, "run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
        expect(leftovers(of)).toEqual([]);
      }
    },
    600_000,
  );
});

interface Ended {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stderr: string;
  readonly expected: boolean;
}

/** Starts wrappers, and does to some of them, and to what they run, what clusters do to jobs. */
class Chaos {
  readonly kills = new Map<number, bigint>();
  wrappersKilled = 0;
  commandsKilled = 0;
  bothKilled = 0;
  stopped = 0;
  turnedAway = 0;
  readonly #journal: string;
  readonly #before: readonly string[];
  readonly #wrappers = new Map<number, { killed: boolean; commandKilled: boolean }>();

  constructor(journal: string, before: readonly string[]) {
    this.#journal = journal;
    this.#before = before;
  }

  start(args: readonly string[]): Promise<Ended> {
    const [file = "", ...rest] = [...this.#before, executable, ...args];
    const child = spawn(file, rest, { stdio: ["ignore", "ignore", "pipe"], env: environment() });
    const fate = { killed: false, commandKilled: false };
    const pid = child.pid ?? 0;
    this.#wrappers.set(pid, fate);
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    return new Promise((resolve) => {
      child.on("exit", (exitCode, signal) => {
        this.#wrappers.delete(pid);
        if (exitCode === 75) this.turnedAway += 1;
        const asTold = exitCode === 0 || exitCode === 75;
        const expected = asTold || (fate.killed && signal === "SIGKILL") || (fate.commandKilled && exitCode === 137);
        resolve({ exitCode, signal, stderr, expected });
      });
    });
  }

  async reignUntil(until: number): Promise<void> {
    while (Date.now() < until) {
      await sleep(15 + Math.random() * 50);
      const wrappers = [...this.#wrappers.keys()];
      const victim = wrappers[Math.floor(Math.random() * wrappers.length)];
      if (victim === undefined) continue;
      await this.#strike(victim);
    }
  }

  async #strike(wrapper: number): Promise<void> {
    const fate = this.#wrappers.get(wrapper);
    if (fate === undefined) return;
    const command = childOf(wrapper);
    const dice = Math.random();
    if (dice < 0.3) {
      this.stopped += 1;
      process.kill(wrapper, "SIGSTOP");
      await sleep(Math.random() * 80);
      if (this.#wrappers.has(wrapper)) process.kill(wrapper, "SIGCONT");
      return;
    }
    if (dice < 0.55) {
      fate.killed = true;
      this.wrappersKilled += 1;
      process.kill(wrapper, "SIGKILL");
      return;
    }
    if (command === null) return;
    // A PID whose number was given anew since is nobody that this test may kill: looked at again, just before.
    if (childOf(wrapper) !== command) return;
    this.kills.set(command, monotonic());
    fate.commandKilled = true;
    if (dice < 0.8) this.commandsKilled += 1;
    else {
      fate.killed = true;
      this.bothKilled += 1;
      process.kill(wrapper, "SIGKILL");
    }
    killIfThere(command);
  }

  /** Commands whose wrapper was killed go on and end by themselves. */
  async everybodyGone(): Promise<void> {
    const giveUpAt = Date.now() + 10_000;
    const running = (): Interval[] =>
      readJournal(this.#journal, this.kills).intervals.filter(({ to, pid }) => to === null && isThere(pid));
    while (running().length > 0) {
      if (Date.now() > giveUpAt) throw new Error("commands do not end");
      await sleep(50);
    }
  }
}

function childOf(wrapper: number): number | null {
  try {
    const children = readFileSync(`/proc/${wrapper}/task/${wrapper}/children`, "utf8").trim();
    return children === "" ? null : Number(children.split(" ")[0]);
  } catch {
    return null;
  }
}

function killIfThere(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function isThere(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
