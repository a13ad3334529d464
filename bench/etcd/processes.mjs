// What processes cost, as Linux tells it.
import { readFileSync } from "node:fs";

const ticksPerSecond = 100;

const read = (path) => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

export function childrenOf(pid) {
  return read(`/proc/${pid}/task/${pid}/children`).trim().split(" ").filter(Boolean).map(Number);
}

/** Processor seconds of all of them so far, and their memory, MB: each counted whole, and with what they share divided up. */
export function costOf(pids) {
  const cost = { cpu: 0, resident: 0, proportional: 0 };
  for (const pid of pids) {
    const stat = read(`/proc/${pid}/stat`);
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    cost.cpu += (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / ticksPerSecond;
    const rollup = read(`/proc/${pid}/smaps_rollup`);
    cost.resident += Number(/^Rss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1024;
    cost.proportional += Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1] ?? 0) / 1024;
  }
  return cost;
}

/** The most memory that a process has had so far, MB; null once it has gone. */
export function peakOf(pid) {
  const peak = /^VmHWM:\s+(\d+)/m.exec(read(`/proc/${pid}/status`))?.[1];
  return peak === undefined ? null : Number(peak) / 1024;
}
