import { readFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { listing } from "../support/listing.ts";
import { pythonJob } from "../support/peers.ts";
import { requires } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requires("python3");

/** The holder looks after its record 1 s after the start for the last time before it does so every 30 s. */
const lastEarlyCheckMs = 1000;

function readRecord(path: string): Record<string, unknown> & { trainlock: Record<string, unknown> } {
  return JSON.parse(readFileSync(path, "utf8"));
}

test("a record emptied by a Python contender: list names the holder at once, and it is written again", async () => {
  const of = configuration(await temporaryRoot());

  // The wrapper is stopped while the contender comes, so that what is seen then cannot be the record written again. On a
  // loaded machine the stop may come after the early checks; then the next one is half a minute away, and it starts over.
  const stoppedInTime = async () => {
    const holder = await holdWithRun(of.args, { env: { LSB_JOBID: "123456" } });
    await until("the record with the command's PID", () => readRecord(of.kernelLock).trainlock.child_pid);
    holder.kill("SIGSTOP");
    if (performance.now() - holder.startedAt < lastEarlyCheckMs) return holder;
    holder.kill("SIGKILL");
    holder.closeInput();
    await until("the lock to be free", async () =>
      (await trainlock(["check", ...of.args])).exitCode === 0 ? true : null,
    );
    return null;
  };
  const holder = await until("a wrapper stopped within its first second", stoppedInTime, 25_000);
  const before = readRecord(of.kernelLock);

  expect(await pythonJob.start(of).finished).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("SKIP") });
  expect(readFileSync(of.kernelLock, "utf8")).toBe("");
  const list = await trainlock(["list", "--root", of.root]);

  const since = String(before.acquired_at);
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
