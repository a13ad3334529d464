import type { Holding, Scene } from "./scene.ts";

/** How long after a moment a command, that has ended, last ran, milliseconds. */
export function lastRun(scene: Scene, { command }: Holding, since: bigint): number {
  const { to = null } = scene.journal().intervals.find(({ pid }) => pid === command) ?? {};
  return to === null ? 0 : Math.max(0, Math.round(Number(to - since) / 1e6));
}
