import { describe, expect } from "vitest";
import { heldByFlock } from "../support/held-by-flock.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { holder, runtimes } from "./library-program.ts";

describe.each(Object.entries(runtimes))("TrainingLock.acquire that waits, on %s", (_, runtime) => {
  requiresPrograms("flock")("has the lock as soon as its holder gives it back", async () => {
    const { of, tell } = await holder(runtime);
    const other = await heldByFlock(of.kernelLock, "");
    const waited = tell("wait");
    await new Promise((resolve) => setTimeout(resolve, 500));
    other.closeInput();
    const releasedAt = performance.now();
    expect(await waited).toBe("acquired");
    // 100 ms of it for a holder that may be about to remove the file. Polling takes up to a second.
    expect(performance.now() - releasedAt).toBeLessThan(450);
    expect(await tell("assert")).toBe("held");
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
