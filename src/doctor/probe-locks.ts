import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { fault, type Outcome, ok, warning } from "../model/finding.ts";
import { withScratch } from "../system/files/scratch.ts";
import { tryFlock } from "../system/libc/flock.ts";
import { tryRangeLock } from "../system/libc/range-lock.ts";
import { holdInChild } from "./lock-holder.ts";

const unsafe = "two jobs on one host can both hold one lock";
const elsewhere = "use another file system for the lock dir (lock_dir in trainlock.yaml, --lock-dir)";

function open(path: string): number {
  return openSync(path, constants.O_RDWR | constants.O_CREAT, 0o664);
}

export function descriptorsProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, (scratch) => {
    const path = join(scratch, "lock");
    const [first, second] = [open(path), open(path)];
    try {
      if (tryFlock(first, path, "exclusive") === "busy")
        return fault("a new file is locked already", unsafe, elsewhere);
      return tryFlock(second, path, "exclusive") === "busy"
        ? ok("one excludes the other")
        : fault("both were locked at once", unsafe, elsewhere);
    } finally {
      closeSync(first);
      closeSync(second);
    }
  });
}

export function processesProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, async (scratch) => {
    const path = join(scratch, "lock");
    const holder = await holdInChild("flock", path);
    const fd = open(path);
    try {
      if (tryFlock(fd, path, "exclusive") === "locked") return fault("both processes locked it", unsafe, elsewhere);
      await holder.release();
      return tryFlock(fd, path, "exclusive") === "locked"
        ? ok("one excludes the other, and its end frees the lock")
        : fault("still locked after its holder had ended", "dead jobs keep their locks", elsewhere);
    } finally {
      closeSync(fd);
      await holder.release();
    }
  });
}

/** For `lock_primitive: ofd`; where that is not chosen, only worth a word. */
export function primitiveProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, async (scratch) => {
    const path = join(scratch, "lock");
    const holder = await holdInChild("ofd", path);
    const fd = open(path);
    try {
      if (tryRangeLock(fd, path, "exclusive") === "busy") return ok("one excludes the other");
      return warning("both processes locked it", "lock_primitive: ofd cannot be used here");
    } finally {
      closeSync(fd);
      await holder.release();
    }
  });
}
