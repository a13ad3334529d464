import { mkdtempSync, readFileSync, realpathSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { onTestFinished } from "vitest";
import { deviceText } from "../../src/system/files/mount-table.ts";

const noFlock = fileURLToPath(new URL("no-flock.pl", import.meta.url));

export interface LustreMount {
  /** Put before a program: it finds `root` on a Lustre without locks, by its mount table. */
  readonly told: readonly string[];
  /** The same, and flock(2) fails with ENOSYS for it and its children. */
  readonly toldAndTrue: readonly string[];
}

/**
 * A root as on Lustre mounted without `flock`. No Lustre is needed: the program's own table of mounts, under its very PID, is
 * replaced in a mount namespace of its own.
 */
export function lustreWithoutLocks(root: string, options = "rw,lazystatfs"): LustreMount {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "trainlock-mounts-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const table = join(folder, "mountinfo");
  const device = deviceText(statSync(root, { bigint: true }).dev);
  const mountPoint = realpathSync(root).replaceAll(" ", "\\040");
  const line = `9999 1 ${device} / ${mountPoint} rw,relatime - lustre mgs@tcp:/scratch ${options}\n`;
  writeFileSync(table, readFileSync("/proc/self/mountinfo", "utf8") + line);
  const covered = 'mount --bind "$0" /proc/$$/mountinfo && exec "$@"';
  const told = ["unshare", "--mount", "sh", "-c", covered, table];
  return { told, toldAndTrue: [...told, "perl", noFlock] };
}
