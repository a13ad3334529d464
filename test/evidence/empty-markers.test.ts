import { spawn } from "node:child_process";
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished } from "vitest";
import { markerEvidence } from "../../src/evidence/bare-pid.ts";
import { readMarker } from "../../src/stores/folder/read-marker.ts";
import { alice, as, bob, group, sharedRoot } from "../shared-folders/users.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { executable, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("setpriv as root", "a local file system and the initial PID namespace");
/** It reads TypeScript as it is. */
const bun = fileURLToPath(new URL("../../node_modules/.bin/bun", import.meta.url));
const source = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

function emptyMarkerOf(user: number): TestConfiguration {
  const of = configuration(sharedRoot(0o2775));
  mkdirSync(of.weightsDir, { recursive: true });
  writeFileSync(of.marker, "");
  chownSync(of.marker, user, group);
  return of;
}

/** The evidence on it as bob has it, a day later: nobody can set the time of a file's last change back. */
async function evidenceForBob(of: TestConfiguration, { changedLater = false } = {}) {
  const script = `
    const { readMarker } = await import(${JSON.stringify(source("stores/folder/read-marker.ts"))});
    const { markerEvidence } = await import(${JSON.stringify(source("evidence/bare-pid.ts"))});
    const marker = readMarker(${JSON.stringify(of.weightsDir)});
    const dayAgo = BigInt(Date.now() - 86_400_000) * 1_000_000n;
    const times = { modifiedNs: dayAgo, changedNs: ${changedLater ? "marker.changedNs" : "dayAgo"} };
    console.log(JSON.stringify(markerEvidence(${JSON.stringify(of.marker)}, { ...marker, ...times })));`;
  const [first = "", ...rest] = as(bob);

  const { stdout, stderr } = await finish(first, [...rest, bun, "-e", script], { cwd: "/" });
  expect(stderr).toBe("");
  return JSON.parse(stdout);
}

test("a user who has no process on this host will not write an old empty marker: that is plain to everybody", async () => {
  const of = emptyMarkerOf(alice);
  expect(await evidenceForBob(of)).toEqual([
    expect.objectContaining({ says: "dead", because: "no PID", detail: expect.stringContaining("has no process") }),
  ]);
});

test("a process of its owner, by whichever of its ids, may be about to write it", async () => {
  const of = emptyMarkerOf(alice);
  for (const ids of [`--reuid=${alice}`, `--ruid=${alice}`, `--euid=${alice}`]) {
    const process = spawn("setpriv", [ids, "--clear-groups", "sleep", "60"], { stdio: "ignore" });
    onTestFinished(() => void process.kill("SIGKILL"));
    const status = () => readFileSync(`/proc/${process.pid}/status`, "utf8");
    await until("it is alice's", () => (new RegExp(`^Uid:.*\\b${alice}\\b`, "m").test(status()) ? true : null));
    expect(await evidenceForBob(of)).toEqual([expect.objectContaining({ says: "unknown", because: "being created" })]);
    const over = new Promise((resolve) => process.once("exit", resolve));
    process.kill("SIGKILL");
    await over;
  }
  expect(await evidenceForBob(of)).toEqual([expect.objectContaining({ says: "dead" })]);
});

test("an owner that may have been set later is no writer; clear names what it has kept, and root clears it", async () => {
  const of = emptyMarkerOf(alice);
  expect(await evidenceForBob(of, { changedLater: true })).toEqual([
    expect.objectContaining({ says: "unknown", detail: expect.stringContaining("were changed later") }),
  ]);
  await finish("touch", ["-d", "-1day", of.marker]);
  const [first = "", ...rest] = as(bob);
  const kept = await finish(first, [...rest, executable, "clear", "--root", of.root, "--no-dry-run"]);
  expect(kept).toMatchObject({ exitCode: 0, stdout: "No stale locks found\n" });
  expect(kept.stderr).toContain(`trainlock: kept ${of.name} [UNKNOWN - being created]: ${of.marker}\n`);
  expect((await trainlock(["clear", "--root", of.root, "--no-dry-run"])).stdout).toContain("STALE - no PID");
});

test("a time to come, which somebody has set, does not keep an empty marker for ever", () => {
  const of = emptyMarkerOf(0);
  const marker = readMarker(of.weightsDir);
  if (marker === null) throw new Error("no marker");
  const now = BigInt(Date.now()) * 1_000_000n;
  const day = 86_400_000_000_000n;
  const found = (changedNs: bigint) =>
    markerEvidence(of.marker, { ...marker, modifiedNs: now + 1000n * day, changedNs });
  expect(found(now - day)).toEqual([expect.objectContaining({ says: "dead", because: "no PID" })]);
  // The clock was set back since: nobody can tell how old it is.
  expect(found(now + 1000n * day)).toEqual([expect.objectContaining({ says: "unknown", because: "being created" })]);
});
