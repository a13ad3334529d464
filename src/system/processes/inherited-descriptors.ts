import { readdirSync, readlinkSync } from "node:fs";

const firstBeyondStandard = 3;

/**
 * The descriptors this process was started with beyond the standard three. The runtime sets close-on-exec on them before any
 * of our code runs. So a command loses `<(…)` and `exec 7>file` unless we hand them on. Call this before anything is opened.
 * Until then, the runtime itself has only event queues open, which are no files.
 */
export function inheritedDescriptors(): number[] {
  let names: string[];
  try {
    names = readdirSync("/proc/self/fd");
  } catch {
    return [];
  }
  return names.map(Number).filter((fd) => fd >= firstBeyondStandard && isFile(fd));
}

function isFile(fd: number): boolean {
  try {
    const target = readlinkSync(`/proc/self/fd/${fd}`);
    return !target.startsWith("anon_inode:") && target !== process.execPath;
  } catch {
    // The listing's own descriptor, closed by now.
    return false;
  }
}
