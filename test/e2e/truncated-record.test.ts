import { readFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { pythonJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { listing } from "./listing.ts";
import { holdStopped, readRecord } from "./stopped-holder.ts";

const test = requiresPrograms("python3");

test("a record emptied by a Python contender: list names the holder at once, and it is written again", async () => {
  const of = configuration(await temporaryRoot());
  // Stopped, so that what list sees cannot be the record written again.
  const holder = await holdStopped(of, { env: { LSB_JOBID: "123456" } });
  const before = readRecord(of.kernelLock);

  expect(await pythonJob.start(of).finished).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("SKIP") });
  expect(readFileSync(of.kernelLock, "utf8")).toBe("");
  const list = await trainlock(["list", "--root", of.root]);

  const since = before.acquired_at;
  const about = `Host: ${hostname()}, User: ${userInfo().username}, Started: ${since}`;
  const lock = { name: of.name, label: "ACTIVE" };
  expect(list).toMatchObject({
    exitCode: 0,
    stderr: "",
    stdout: listing([
      { ...lock, kind: "file", known: `PID: ${holder.pid}, Started: ${since}`, path: of.marker },
      { ...lock, kind: "fcntl", known: `PID: ${holder.pid}, Job: 123456, ${about}`, path: of.kernelLock },
    ]),
  });

  const continued = performance.now();
  holder.kill("SIGCONT");
  await until("the record to be written again", () => readFileSync(of.kernelLock, "utf8") || null);
  console.log(`the record was whole ${Math.round(performance.now() - continued)} ms after the wrapper went on`);
  expect(readRecord(of.kernelLock)).toEqual(before);
});
