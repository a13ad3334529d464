import { readdirSync, statSync } from "node:fs";
import { deviceText, mountTable } from "../files/mount-table.ts";
import { bootClockAheadSeconds, readProcText, readStatLine, ticksPerSecond } from "../processes/proc-files.ts";

let uptimeIsGenuine: boolean | undefined;

/**
 * Clock ticks since boot, on the clock that process start times are given in; independent of the wall clock (proc_uptime(5)).
 * Null when it cannot be known.
 */
export function ticksSinceBoot(): number | null {
  uptimeIsGenuine ??= sameDevice("/proc/uptime", "/proc");
  if (uptimeIsGenuine) {
    const seconds = Number.parseFloat(readProcText("/proc/uptime") ?? "");
    if (Number.isFinite(seconds)) return Math.round((seconds - bootClockAheadSeconds()) * ticksPerSecond);
  }
  return ticksByOwnThreads();
}

/**
 * LXCFS puts the container's uptime over the host's, while start times go on counting from the host's boot. Our youngest
 * thread was started at most `process.uptime()` ago: too old by that at most, and a process taken for older than it is
 * stays the owner of its marker.
 */
function ticksByOwnThreads(): number | null {
  let youngest: number | null = null;
  try {
    for (const thread of readdirSync("/proc/self/task")) {
      const ticks = readStatLine(Number(thread))?.startTimeTicks;
      if (ticks !== undefined) youngest = Math.max(youngest ?? 0, ticks);
    }
  } catch {
    return null;
  }
  return youngest === null ? null : youngest + Math.ceil(process.uptime() * ticksPerSecond);
}

function sameDevice(a: string, b: string): boolean {
  try {
    return statSync(a).dev === statSync(b).dev;
  } catch {
    return false;
  }
}

/**
 * How far the wall clock was stepped since boot, in seconds: the time of boot by today's clock against the time at which
 * the kernel made `/dev/zero` by the clock of then. Null where `/dev/zero` is not on devtmpfs (containers) or cannot be read.
 */
export function clockMovedSinceBootSeconds(): number | null {
  const ticks = ticksSinceBoot();
  if (ticks === null) return null;
  try {
    const node = statSync("/dev/zero", { bigint: true });
    const device = deviceText(node.dev);
    if (!mountTable().some((entry) => entry.fileSystem === "devtmpfs" && entry.device === device)) return null;
    const bootSeconds = Date.now() / 1000 - ticks / ticksPerSecond;
    return Math.abs(bootSeconds - Number(node.ctimeNs) / 1e9);
  } catch {
    return null;
  }
}

/** When this host booted, milliseconds since the epoch by today's clock: `btime` of proc_stat(5). Null: it cannot be known. */
export function bootedAtMs(): number | null {
  const seconds = /^btime (\d+)$/m.exec(readProcText("/proc/stat") ?? "")?.[1];
  return seconds === undefined ? null : (Number(seconds) + bootClockAheadSeconds()) * 1000;
}
