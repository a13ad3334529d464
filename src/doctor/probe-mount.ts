import { statfsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fault, type Outcome, ok, warning } from "../model/finding.ts";
import { sleep } from "../system/clock/sleep.ts";
import { type MountFacts, mountOf } from "../system/files/mounts.ts";
import { withScratch } from "../system/files/scratch.ts";

export function fileSystemProbe(folder: string): Outcome {
  return scopeOutcome(mountOf(folder));
}

const remount = "mount it with locks that reach the server (NFS: without nolock and local_lock)";
const mountAsClient = "mount it on this host as its clients do, and use it by that path; or train on the clients only";

/** Whether this host is the file server, and has it by no network. */
function isServersOwn({ fileSystem }: MountFacts): boolean {
  return !["nfs", "nfs4", "lustre"].includes(fileSystem);
}

/** What the table of mounts says, before anything is tried. */
export function scopeOutcome(mount: MountFacts): Outcome {
  const options = mount.options.length === 0 ? "" : ` (${mount.options.join(",")})`;
  const found = `${mount.fileSystem} at ${mount.mountPoint}${options}: lock scope ${mount.lockScope}; ${mount.why}`;
  const hosts = "prove it: trainlock doctor --hosts HOST,HOST";
  switch (mount.lockScope) {
    case "cluster":
      return ok(found);
    case "none":
      return warning(
        found,
        "the marker alone excludes: what a dead job left is taken over on its own host, or with proof of its end",
        "mount it with locks (Lustre: -o flock)",
      );
    case "unknown": {
      const means =
        "between hosts the marker alone excludes, and what another host left is not taken over without proof";
      return warning(found, means, hosts);
    }
    case "host": {
      if (mount.shared === false) return ok(found);
      const means = "kernel locks keep out this host only; between hosts the marker excludes, and may be left behind";
      return warning(found, means, isServersOwn(mount) ? mountAsClient : remount);
    }
  }
}

/** How far apart two writes must be to tell them apart by their times. */
export function granularityProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, async (scratch) => {
    const times: bigint[] = [];
    for (let n = 0; n < 4; n += 1) {
      const path = join(scratch, String(n));
      writeFileSync(path, "");
      times.push(statSync(path, { bigint: true }).mtimeNs);
      await sleep(12);
    }
    const whole = (unit: bigint) => times.every((time) => time % unit === 0n);
    if (whole(1_000_000_000n))
      return warning(
        "times of files have whole seconds",
        "only the inode distinguishes a record and a marker of the same second",
      );
    return ok(whole(1_000_000n) ? "to the millisecond" : whole(1000n) ? "to the microsecond" : "to the nanosecond");
  });
}

const clockToleranceMs = 5000;

export function clockProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, (scratch) => {
    const path = join(scratch, "file");
    const before = Date.now();
    writeFileSync(path, "");
    const middle = (before + Date.now()) / 2;
    const offsetMs = Math.round(Number(statSync(path, { bigint: true }).mtimeNs / 1_000_000n) - middle);
    const found = `files are stamped ${Math.abs(offsetMs)} ms ${offsetMs < 0 ? "behind" : "ahead of"} this host's clock`;
    if (Math.abs(offsetMs) <= clockToleranceMs) return ok(found);
    const means = "an empty marker may count as stale too early or too late, and ages in listings are off";
    return warning(found, means, "synchronize the clocks of host and file server (NTP)");
  });
}

const littleBytes = 100 * 1024 * 1024;
const fewFiles = 1000;

export function spaceProbe(folder: string): Outcome {
  const { bavail, bsize, ffree, files } = statfsSync(folder);
  const bytes = bavail * bsize;
  const found = `${(bytes / 1024 ** 3).toFixed(1)} GiB free${files === 0 ? "" : `, ${ffree} files`}`;
  if (bytes === 0 || (files > 0 && ffree === 0))
    return fault(found, "no lock can be written: trainlock run ends with exit 3", "free some space");
  if (bytes < littleBytes || (files > 0 && ffree < fewFiles))
    return warning(found, "locks and checkpoints soon fail", "free some space");
  return ok(found);
}
