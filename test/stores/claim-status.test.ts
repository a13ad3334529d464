import { mkdirSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { claimStatusOf } from "../../src/stores/folder/claim-status.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { foreignRecord } from "../support/foreign-lock.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const token = "0123456789abcdef0123456789abcdef";
const owner = { hostname: "node01", pid: 4711 };

/** A claim of another host, which holds its kernel lock there: on this one the lock looks free. */
async function heldElsewhere(change: Readonly<Record<string, unknown>> = {}): Promise<TestConfiguration> {
  const of = configuration(await temporaryRoot());
  mkdirSync(of.lockDir);
  mkdirSync(of.weightsDir, { recursive: true });
  writeFileSync(of.marker, `${owner.pid}\n`);
  writeFileSync(of.kernelLock, "");
  const record = foreignRecord(of, owner, statSync(of.marker).ino);
  const trainlock = { ...record.trainlock, lock_inode: statSync(of.kernelLock).ino, ...change };
  for (const path of [of.kernelLock, of.markerRecord]) writeFileSync(path, JSON.stringify({ ...record, trainlock }));
  return of;
}

const asked = ({ kernelLock: lockPath, weightsDir }: TestConfiguration) => ({
  lockPath,
  weightsDir,
  token,
  generation: 1,
  configuration: null,
});

describe("a claim on a host whose kernel locks are not seen here", () => {
  const notSeen = () => "its locks stay on each host";

  test("is never said to be held, however well records and marker look", async () => {
    const of = await heldElsewhere();
    expect(await claimStatusOf(asked(of), notSeen)).toMatchObject({
      held: null,
      generation: 1,
      why: "the kernel lock of node01 cannot be seen from this host (its locks stay on each host)",
      holder: { hostname: "node01", pid: 4711 },
    });
  });

  test("is not held when its marker is another's, or gone", async () => {
    const of = await heldElsewhere();
    writeFileSync(of.marker, "4712\n");
    expect(await claimStatusOf(asked(of), notSeen)).toMatchObject({
      held: false,
      why: `the marker in ${of.weightsDir} is another's (PID 4712)`,
    });
  });

  test.each([
    [{ released_at: "2026-01-12T17:00:00.000000" }, "it was released at 2026-01-12T17:00:00.000000"],
    [{ token: "f".repeat(32) }, "another has it"],
    [{ token: "f".repeat(32), generation: 2 }, "generation 2 came after it"],
  ])("is not held when its record says %j", async (change, why) => {
    const of = await heldElsewhere(change);
    const { held, why: said } = await claimStatusOf(asked(of), notSeen);
    expect(held).toBe(false);
    if (typeof why === "string") expect(said).toBe(why);
    else expect(said).toMatch(why);
  });
});

/** The disk was another host's before this one booted. */
function fromBefore(of: TestConfiguration): void {
  utimesSync(of.kernelLock, 1, 1);
}

test("a lock file that was made again: not held where this host would see its holder, and not known elsewhere", async () => {
  const of = await heldElsewhere({ lock_inode: 1 });
  fromBefore(of);
  expect(await claimStatusOf(asked(of))).toMatchObject({
    held: false,
    why: expect.stringMatching(/^its lock file .* was replaced by another$/),
  });
  expect(await claimStatusOf(asked(of), () => "its locks stay on each host")).toMatchObject({ held: null });
});

test("a claim whose kernel lock is seen from here, and free, is not held", async () => {
  const of = await heldElsewhere();
  fromBefore(of);
  expect(await claimStatusOf(asked(of))).toMatchObject({
    held: false,
    why: "nobody holds its kernel lock any more",
  });
});

test("a claim that another host has made on this host's own file system: it reaches that by some server, and locks do not", async () => {
  expect(await claimStatusOf(asked(await heldElsewhere()))).toMatchObject({
    held: null,
    why: expect.stringMatching(/^the kernel lock of node01 cannot be seen from this host \(node01 has written there/),
  });
});
