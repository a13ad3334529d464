import { readFileSync, statSync } from "node:fs";
import { describe, expect } from "vitest";
import { heldByFlock } from "../support/held-by-flock.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { until } from "../support/until.ts";
import { holder, runtimes } from "./library-program.ts";

/** Whether somebody stands in the kernel's queue for a lock file, and does not merely try it now and then. */
const isQueuedFor = (path: string) =>
  readFileSync("/proc/locks", "utf8")
    .split("\n")
    .some((line) => line.includes("-> ") && line.includes(`:${statSync(path).ino} `));

describe.each(Object.entries(runtimes))("TrainingLock.acquire that waits, on %s", (_, runtime) => {
  requiresPrograms("flock")("has the lock as soon as its holder gives it back", async () => {
    const { of, tell } = await holder(runtime);
    const other = await heldByFlock(of.kernelLock, "");
    const waited = tell("wait");
    await until("a place in the queue", () => (isQueuedFor(of.kernelLock) ? true : null));
    other.closeInput();
    expect(await waited).toBe("acquired");
    expect(await tell("assert")).toBe("held");
  });

  requiresPrograms("flock")("waits without a limit for -1, as in Python", async () => {
    const { of, tell } = await holder(runtime);
    const other = await heldByFlock(of.kernelLock, "");
    const waited = tell("wait-for-ever");
    await until("a place in the queue", () => (isQueuedFor(of.kernelLock) ? true : null));
    other.closeInput();
    expect(await waited).toBe("acquired");
  });

  requiresPrograms("flock")("leaves nothing in the way of others when its time is over", async () => {
    const { of, tell } = await holder(runtime);
    const other = await heldByFlock(of.kernelLock, "");
    expect(await tell("wait-briefly")).toBe("busy");
    other.closeInput();
    await other.finished;
    // A helper that still stood in the queue, or a descriptor that was left open, would have the lock now.
    await new Promise((resolve) => setTimeout(resolve, 100));
    const next = await heldByFlock(of.kernelLock, "");
    expect(await tell("acquire")).toBe("busy");
    next.closeInput();
  });
});
