import { renameSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { heldByFlock } from "../support/held-by-flock.ts";
import { replaceFile } from "../support/replace-file.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { holder, runtimes } from "./library-program.ts";

describe.each(Object.entries(runtimes))("TrainingLock.assertHeld on %s", (_, runtime) => {
  test("resolves while the lock is held, and rejects before and after", async () => {
    const { tell } = await holder(runtime);
    expect(await tell("assert")).toMatch(/^ERR_LOCK_LOST: .*not been acquired/);
    expect(await tell("acquire")).toBe("acquired");
    expect(await tell("assert")).toBe("held");
    expect(await tell("release")).toBe("released");
    expect(await tell("assert")).toMatch(/^ERR_LOCK_LOST: .*released/);
  });

  requiresPrograms("flock")("rejects once another has the lock file", async () => {
    const { of, tell } = await holder(runtime);
    expect(await tell("acquire")).toBe("acquired");
    const others = `${of.kernelLock}.others`;
    await heldByFlock(others, JSON.stringify({ strategy: of.strategy, hostname: "node07", pid: 4711 }));
    renameSync(others, of.kernelLock);
    expect(await tell("assert")).toMatch(/^ERR_LOCK_LOST: .*was removed, and somebody else has locked a new one$/);
    expect(await tell("assert")).toMatch(/^ERR_LOCK_LOST: /);
  });

  requiresPrograms("flock")("rejects while a contender may have it, and resolves once that one is gone", async () => {
    const { of, tell } = await holder(runtime);
    expect(await tell("acquire")).toBe("acquired");
    const others = `${of.kernelLock}.others`;
    const contender = await heldByFlock(others, "");
    renameSync(others, of.kernelLock);
    expect(await tell("assert")).toMatch(/^ERR_LOCK_LOST: it is not known whether .* may look at our marker only\)$/);
    contender.closeInput();
    await contender.finished;
    expect(await tell("assert")).toBe("held");
  });

  test("rejects where it cannot be told, and resolves again where it can", async () => {
    const { of, tell } = await holder(runtime);
    expect(await tell("acquire")).toBe("acquired");
    const aside = join(of.root, "aside");
    renameSync(of.lockDir, aside);
    symlinkSync(of.lockDir, of.lockDir);
    expect(await tell("assert")).toMatch(/^ERR_LOCK_LOST: it is not known whether the lock is held: .*ELOOP/);
    rmSync(of.lockDir);
    renameSync(aside, of.lockDir);
    expect(await tell("assert")).toBe("held");
  });

  test("rejects where a folder stands in place of the marker", async () => {
    const { of, tell } = await holder(runtime);
    expect(await tell("acquire")).toBe("acquired");
    replaceFile(of.marker, null);
    expect(await tell("assert")).toMatch(/^ERR_LOCK_LOST: .* is another's$/);
  });
});
