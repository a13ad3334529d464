import { spawn } from "node:child_process";
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { judge } from "../../src/evidence/judge.ts";
import type { Evidence } from "../../src/model/evidence.ts";
import { as, bob, group, sharedRoot } from "../shared-folders/users.ts";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { until } from "../support/until.ts";

const behindHidepid = requiresPrograms("setpriv as root", "unshare --mount");
/** A user of this file's own: that alice has no process is what other tests, beside this one, wait for. */
const carol = 64_103;
/** It reads TypeScript as it is. */
const bun = fileURLToPath(new URL("../../node_modules/.bin/bun", import.meta.url));
const source = (path: string) => fileURLToPath(new URL(`../../src/${path}`, import.meta.url));

const elsewhere: Evidence = { source: "ssh", says: "dead", because: "PID not running", detail: "on none of the hosts" };
const doubt: Evidence = { source: "marker", says: "unknown", because: "other container", detail: "a process has it" };

test("that others do not have a process ends no doubt about one that was found, and a living one ends it", () => {
  expect(judge([doubt, elsewhere]).label).toBe("STALE - PID not running");
  expect(judge([elsewhere, { ...doubt, maybeFound: true }]).label).toBe("UNKNOWN - other container");
  const requeued: Evidence = { ...doubt, because: "job requeued" };
  expect(judge([{ ...doubt, maybeFound: true }, requeued, elsewhere]).label).toBe("UNKNOWN - job requeued");
  expect(
    judge([
      { ...doubt, maybeFound: true },
      { source: "ssh", says: "alive", detail: "" },
    ]).label,
  ).toBe("ACTIVE");
});

behindHidepid("another user's process behind hidepid may be the holder", async () => {
  const of = configuration(sharedRoot(0o2775));
  mkdirSync(of.weightsDir, { recursive: true });
  const [file = "", ...args] = [...as(carol), "sleep", "600"];
  const job = spawn(file, args, { stdio: "ignore" });
  onTestFinished(() => void job.kill("SIGKILL"));
  await until("it runs", async () => job.pid ?? null);
  writeFileSync(of.marker, `${job.pid}\n`);
  chownSync(of.marker, carol, group);
  const script = `
    const { readMarker } = await import(${JSON.stringify(source("stores/folder/read-marker.ts"))});
    const { markerEvidence } = await import(${JSON.stringify(source("evidence/bare-pid.ts"))});
    console.log(JSON.stringify(markerEvidence(${JSON.stringify(of.marker)}, readMarker(${JSON.stringify(of.weightsDir)}))));`;
  const hidden = 'mount -t proc -o hidepid=2 proc /proc && exec "$@"';
  const { stdout, stderr } = await finish(
    "unshare",
    ["--mount", "sh", "-c", hidden, "sh", ...as(bob), bun, "-e", script],
    { cwd: "/" },
  );
  expect(stderr).toBe("");
  const found = JSON.parse(stdout) as Evidence[];
  expect(found).toEqual([
    expect.objectContaining({ says: "unknown", detail: `process ${job.pid} exists, but may not be looked at` }),
  ]);
  expect(judge([...found, elsewhere]).status).toBe("unknown");
});
