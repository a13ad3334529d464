import { createRequire } from "node:module";
import { UsageError } from "../../model/errors.ts";
import { readProcText } from "./proc-files.ts";

/** The number of a group, by group(5) and then by the system's name services. `place` is where the name was read. */
export function groupNumber(group: string | number, place: string): number {
  if (typeof group === "number") return group;
  const local = numberIn(readProcText("/etc/group") ?? "", group);
  const number = local ?? numberIn(askNameServices(group), group);
  if (number !== null) return number;
  throw new UsageError(`${place}: group: there is no group ${JSON.stringify(group)} on this host`, {
    hint: "give its number, or the name of a group that every host knows",
  });
}

/** `group project`, or `group gid 1001` for a group that only a name service knows. */
export function groupText(gid: number): string {
  for (const line of readProcText("/etc/group")?.split("\n") ?? []) {
    const [name, , id] = line.split(":");
    if (name && id === String(gid)) return `group ${name}`;
  }
  return `group gid ${gid}`;
}

/** Whether this process has the rights of a group. */
export function isMember(gid: number): boolean {
  return process.getegid?.() === gid || (process.getgroups?.().includes(gid) ?? false);
}

function numberIn(lines: string, group: string): number | null {
  const line = lines.split("\n").find((candidate) => candidate.startsWith(`${group}:`));
  const number = line?.split(":")[2];
  return number !== undefined && /^\d+$/.test(number) ? Number(number) : null;
}

/** Loaded here and not above: hardly any call needs it. */
function askNameServices(group: string): string {
  const childProcess: typeof import("node:child_process") = createRequire(import.meta.url)("node:child_process");
  try {
    return childProcess.execFileSync("getent", ["group", group], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "ignore"],
      timeout: 5000,
    });
  } catch {
    return "";
  }
}
