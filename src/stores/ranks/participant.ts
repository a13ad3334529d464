import * as v from "valibot";
import { lazily } from "../../model/lazily.ts";
import { isPid } from "../../model/pid.ts";
import { ticksSinceBoot } from "../../system/clock/boot-clock.ts";
import { readStatLine, ticksPerSecond } from "../../system/processes/proc-files.ts";
import { readProcess } from "../../system/processes/process-table.ts";
import { thisHost } from "../../system/processes/this-host.ts";

/** The wrapper of one rank: this process and no other, wherever it runs. */
export interface Participant {
  readonly hostname: string;
  readonly bootId: string | null;
  readonly pidNamespace: number | null;
  readonly pid: number;
  readonly startTimeTicks: number | null;
}

const ticks = () => v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const participantSchema = lazily(() =>
  v.object({
    hostname: v.pipe(v.string(), v.maxLength(255)),
    bootId: v.nullable(v.pipe(v.string(), v.maxLength(64))),
    pidNamespace: v.nullable(ticks()),
    pid: v.pipe(v.number(), v.check(isPid)),
    startTimeTicks: v.nullable(ticks()),
  }),
);

export function ourselves(): Participant {
  const { hostname, bootId, pidNamespace, pid, startTimeTicks } = thisHost();
  return { hostname, bootId, pidNamespace, pid, startTimeTicks };
}

/** Whether its PIDs are those that we see: the same boot and the same PID namespace. */
export function isOnOurKernel({ bootId, pidNamespace }: Pick<Participant, "bootId" | "pidNamespace">): boolean {
  const host = thisHost();
  return bootId !== null && pidNamespace !== null && bootId === host.bootId && pidNamespace === host.pidNamespace;
}

/** `elsewhere`: its process cannot be seen from here. */
export function lifeOf(participant: Participant): "runs" | "gone" | "elsewhere" {
  if (!isOnOurKernel(participant)) return "elsewhere";
  const { kind, ...found } = readProcess(participant.pid);
  if (kind === "gone" || kind === "zombie") return "gone";
  const started = "facts" in found ? found.facts.startTimeTicks : null;
  const isAnother = started !== null && participant.startTimeTicks !== null && started !== participant.startTimeTicks;
  return isAnother ? "gone" : "runs";
}

/**
 * How long ago our parent process was started, in milliseconds. If we cannot see a parent (the first process of a container has
 * none), our own start is used.
 */
export function parentAgeMs(): number {
  const now = ticksSinceBoot();
  const started = (readStatLine(process.ppid) ?? readStatLine("self"))?.startTimeTicks ?? null;
  return now === null || started === null ? 0 : (Math.max(0, now - started) * 1000) / ticksPerSecond;
}
