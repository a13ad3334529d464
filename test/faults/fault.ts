import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect } from "vitest";
import { requires } from "../support/requirements.ts";
import type { Attempt } from "./contender.ts";
import { describe, type Holding, openScene, type Scene } from "./scene.ts";
import type { Stage } from "./stage.ts";
import { tool, ttlMs } from "./tools.ts";

export interface Fault {
  readonly name: string;
  /** Tried by `npm test`, too. */
  readonly always?: boolean;
  readonly needsNetworks?: boolean;
  readonly needsKeeper?: boolean;
  /**
   * What becomes of the claim that is held when the fault begins. `kept`: unless nobody could reach the cluster for three
   * quarters of the time to live; `lost`: with exit code 74; `killed`: its wrapper cannot say.
   */
  readonly claim: "kept" | "lost" | "killed" | "any";
  /** Contenders beside the defaults. */
  readonly contend?: (scene: Scene, round: number) => void;
  /** Does it, and makes it good again. */
  strike(scene: Scene, holder: Holding): Promise<void>;
}

export interface Row {
  readonly fault: string;
  readonly tool: string;
  rounds: number;
  /** Rounds in which the machine made a short outage a long one. */
  tooLong: number;
  claims: number;
  longestOutageMs: number;
  overlaps: number;
  unguarded: number;
  lost: number;
  unnoticed: number;
  reclaimed: number;
  readonly endings: Record<string, number>;
  readonly told: string[];
  readonly violations: string[];
}

/** Held by another; ended by us, while it waited or before it could. */
const turnedAway: ReadonlySet<Attempt["ending"]> = new Set([75, 143, "SIGTERM", null]);

export const everything = process.env.TRAINLOCK_FAULTS !== undefined;
const rounds = Number(process.env.TRAINLOCK_FAULTS ?? 1);
/** What an outage has to be shorter than to lose nothing. */
const bearableMs = ttlMs * 0.75;
const compared = tool.name !== "trainlock run";

/** Two that wait, on different hosts, and one that asks again and again. The first holds the lock. */
export async function contendAsUsual(scene: Scene, round: number): Promise<void> {
  const { relays } = scene.stage;
  scene.contend({ stubborn: round % 2 === 0, ...(relays === null ? {} : { endpoints: relays.endpoints }) });
  await scene.holder();
  scene.contend({ host: 1, stubborn: true });
  scene.contend({ host: 1, waits: false });
  if (everything) for (const host of [0, 1]) scene.contend({ host });
  await scene.queued(everything ? 3 : 1);
}

/** One fault as a test: round after round, and a row of the table. */
export function faultTest(stage: () => Promise<Stage>, fault: Fault): void {
  if (!everything && fault.always !== true) return;
  if (fault.needsKeeper === true && !tool.hasKeeper) return;
  const needs = fault.needsNetworks === true ? (["root", "ip", "nsenter"] as const) : [];
  requires(
    "etcd",
    "etcdctl",
    "perl",
    ...needs,
  )(
    fault.name,
    async () => {
      const row = emptyRow(fault.name);
      for (let round = 0; mayGoOn(row, round); round += 1) await oneRound(await stage(), fault, round, row);
      const path = process.env.TRAINLOCK_TALLY;
      if (path !== undefined) appendFileSync(path, `${JSON.stringify(row)}\n`);
      if (row.tooLong === row.rounds) console.warn(`${fault.name}: no outage was short enough on this machine`);
      if (!compared) expect(row.violations).toEqual([]);
    },
    120_000 * Math.max(rounds, 3),
  );
}

function mayGoOn({ violations, tooLong }: Row, round: number): boolean {
  if (violations.length > 0 && !compared) return false;
  return round < rounds || (tooLong === round && round < 3);
}

async function oneRound(stage: Stage, fault: Fault, round: number, row: Row): Promise<void> {
  const scene = openScene(stage);
  try {
    await (fault.contend ?? contendAsUsual)(scene, round);
    const holder = await scene.holder();
    const beganAt = process.hrtime.bigint();
    await fault.strike(scene, holder);
    row.told.push(...scene.told);
    // A claim that is going to be lost is lost by then.
    if (fault.claim === "kept") await sleep(Math.max(0, ttlMs - Number(process.hrtime.bigint() - beganAt) / 1e6));
    const next = await endInTurn(scene, holder, fault);
    const outageMs = Math.max(...stage.probers.map((prober) => prober.longestOutageMs(beganAt)));
    const left = await scene.close();
    settle(scene, row, { fault, holder, outageMs, violations: [...next, ...left.map((each) => `left: ${each}`)] });
  } catch (error) {
    row.violations.push(`${error instanceof Error ? error.message : error}\n${describe(scene.attempts())}`);
  } finally {
    stage.network?.mend();
    stage.relays?.treat("pass");
    scene.dispose();
  }
}

/** The holder's end, and the next one's beginning: after the fault a run succeeds. */
async function endInTurn(scene: Scene, holder: Holding, { claim }: Fault): Promise<string[]> {
  const found = await scene.holder();
  if (claim === "kept" && found.command !== holder.command) return [`${holder.command} has not kept the lock`];
  scene.end(found);
  await scene.holderAfter(found);
  return [];
}

interface Outcome {
  readonly fault: Fault;
  readonly holder: Holding;
  readonly outageMs: number;
  readonly violations: readonly string[];
}

function settle(scene: Scene, row: Row, { fault, holder, outageMs, violations }: Outcome): void {
  const { intervals, overlaps, repeated } = scene.journal();
  const holders = new Set(intervals.map(({ writer }) => Number(writer)));
  const attempts = scene.attempts();
  const bad = overlaps.filter(({ earlier }) => !scene.unguarded.has(earlier));
  const saysLost = ({ stderr }: { readonly stderr: string }) => stderr.includes("the lock was lost");
  const lost = attempts.filter(({ ending, stderr }) => ending === 74 || saysLost({ stderr }));
  const overtaken = new Set(overlaps.map(({ earlier }) => earlier));
  row.rounds += 1;
  row.claims += intervals.length;
  row.longestOutageMs = Math.max(row.longestOutageMs, outageMs);
  row.overlaps += bad.length;
  row.unguarded += new Set(
    overlaps.filter(({ earlier }) => scene.unguarded.has(earlier)).map((one) => one.earlier),
  ).size;
  row.lost += lost.length;
  row.unnoticed += intervals.filter(
    ({ pid, writer }) => overtaken.has(pid) && attempts.find((one) => one.pid === Number(writer))?.ending === 0,
  ).length;
  row.reclaimed += attempts.filter(({ stderr }) => stderr.includes("claimed again: generation")).length;
  for (const { pid, ending } of attempts)
    if (holders.has(pid) || !turnedAway.has(ending)) {
      const key = String(ending);
      row.endings[key] = (row.endings[key] ?? 0) + 1;
    }
  const tooLong = fault.claim === "kept" && outageMs >= bearableMs;
  if (tooLong) row.tooLong += 1;
  row.violations.push(...bad.map(({ text }) => `overlap: ${text}`), ...repeated);
  for (const each of lost)
    if (each.ending !== 74 && !(fault.claim === "killed" && each.pid === holder.wrapper))
      row.violations.push(`lost, and ended with ${each.ending}: ${each.stderr}`);
  if (fault.claim === "kept" && !tooLong)
    row.violations.push(...lost.map(({ stderr }) => `lost in an outage of ${outageMs} ms: ${stderr}`), ...violations);
  else row.violations.push(...violations.filter((each) => !each.endsWith("has not kept the lock")));
  const ending = scene.attempt(holder)?.ending;
  if (fault.claim === "lost" && ending !== 74) row.violations.push(`the holder ended with ${ending}, not 74`);
  if (fault.claim === "kept" && !tooLong && ending !== 0) row.violations.push(`the holder ended with ${ending}, not 0`);
}

function emptyRow(fault: string): Row {
  const numbers = { rounds: 0, tooLong: 0, claims: 0, longestOutageMs: 0, overlaps: 0, unguarded: 0 };
  return {
    fault,
    tool: tool.name,
    ...numbers,
    lost: 0,
    unnoticed: 0,
    reclaimed: 0,
    endings: {},
    told: [],
    violations: [],
  };
}
