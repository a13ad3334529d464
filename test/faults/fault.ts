import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, test } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { addRound, emptyRow, type Fate, type Row } from "./row.ts";
import { type ContenderOptions, describe, type Holding, openScene, type Scene } from "./scene.ts";
import type { Stage } from "./stage.ts";
import { tool, ttlMs } from "./tools.ts";

export interface Fault {
  readonly name: string;
  /** Tried by `npm test`, too. */
  readonly always?: boolean;
  readonly needsNetworks?: boolean;
  readonly needsKeeper?: boolean;
  readonly needsClock?: boolean;
  readonly claim: Fate;
  /** What the fault itself costs of the outage that a claim bears, milliseconds: nobody renews meanwhile. */
  readonly takesMs?: number;
  /** In place of the usual contenders. */
  readonly contend?: (scene: Scene, round: number) => Promise<void>;
  /** Does it, and makes it good again. */
  strike(scene: Scene, holder: Holding): Promise<void>;
}

export const everything = process.env.TRAINLOCK_FAULTS !== undefined;
const rounds = Number(process.env.TRAINLOCK_FAULTS ?? 1);
const compared = tool.name !== "trainlock run";

/** Two that wait, on different hosts, and one that asks again and again. The first holds the lock. */
export async function contendAsUsual(scene: Scene, round: number, common: ContenderOptions = {}): Promise<void> {
  const { relays } = scene;
  scene.contend({ ...common, stubborn: round % 2 === 0, ...(relays === null ? {} : { endpoints: relays.endpoints }) });
  await scene.holder();
  scene.contend({ ...common, host: 1, stubborn: true });
  scene.contend({ ...common, host: 1, waits: false });
  if (everything) for (const host of [0, 1]) scene.contend({ ...common, host });
  await scene.queued(everything ? 3 : 1);
}

/** One fault as a test: round after round, and a row of the table. */
export function faultTest(stage: () => Promise<Stage>, fault: Fault): void {
  if (!everything && fault.always !== true) return;
  if (fault.needsKeeper === true && !tool.hasKeeper) {
    test.skip(fault.name);
    return;
  }
  const networks = fault.needsNetworks === true ? (["root", "ip", "nsenter"] as const) : [];
  const clock = fault.needsClock === true ? (["root", "unshare", "cc"] as const) : [];
  requiresPrograms(
    "etcd",
    "etcdctl",
    "perl",
    ...networks,
    ...clock,
  )(
    fault.name,
    async () => {
      const row = emptyRow(fault.name);
      for (let round = 0; mayGoOn(row, round); round += 1) await oneRound(await stage(), fault, round, row);
      const path = process.env.TRAINLOCK_TALLY;
      if (path !== undefined) appendFileSync(path, `${JSON.stringify(row)}\n`);
      if (row.rounds > 0 && row.tooLong === row.rounds)
        console.warn(`${fault.name}: no outage was short enough on this machine`);
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
  const scene = await openScene(stage);
  try {
    await (fault.contend ?? contendAsUsual)(scene, round);
    const holder = await scene.holder();
    const beganAt = process.hrtime.bigint();
    await fault.strike(scene, holder);
    row.told.push(...scene.told);
    // A claim that is going to be lost is lost by then.
    if (fault.claim === "kept") await sleep(Math.max(0, ttlMs - Number(process.hrtime.bigint() - beganAt) / 1e6));
    await endInTurn(scene);
    const outageMs = scene.longestOutageMs(beganAt);
    const left = await scene.close();
    addRound(row, scene, { claim: fault.claim, takesMs: fault.takesMs ?? 0, holder, outageMs, left });
  } catch (error) {
    row.violations.push(`${error instanceof Error ? error.message : error}\n${describe(scene.attempts())}`);
  } finally {
    stage.network?.mend();
    await scene.dispose();
  }
}

/** The holder's end, and the next one's beginning: after the fault a run succeeds. */
async function endInTurn(scene: Scene): Promise<void> {
  const found = await scene.holder();
  scene.end(found);
  await scene.holderAfter(found);
}
