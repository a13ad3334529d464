import { readFileSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { type Peer, peers, pythonJob, pythonLocks, pythonProbing, startFlockJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import type { RunningProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { listing, writtenAt } from "./listing.ts";

const user = userInfo().username;

/** What each writer lets others know: the marker only its PID, the record all but, for the bash one, the PID. */
function known(peer: Peer, job: RunningProcess, of: TestConfiguration) {
  if (peer.kind === "file") {
    const since = writtenAt(of.marker);
    return { since, skip: `PID: ${job.pid}`, line: `PID: ${job.pid}, Started: ${since}`, path: of.marker };
  }
  const record = JSON.parse(readFileSync(of.kernelLock, "utf8"));
  const since: string = record.acquired_at ?? record.started;
  return {
    since,
    skip: `PID: ${job.pid}, job 123456 on ${hostname()}`,
    line: `PID: ${job.pid}, Job: 123456, Host: ${hostname()}, User: ${user}, Started: ${since}`,
    path: of.kernelLock,
  };
}

describe.each(peers)("$title", (peer) => {
  const test = requiresPrograms(...peer.needs);

  test("holds: run is turned away with the holder's PID, and its command is not started", async () => {
    const of = configuration(await temporaryRoot());
    const job = peer.start(of);
    await job.waitFor("HELD");

    const run = await trainlock(["run", ...of.args, "--", "echo", "trained"]);

    expect(run).toEqual({
      exitCode: 75,
      signal: null,
      stdout: "",
      stderr: `SKIP: Another job (${known(peer, job, of).skip}) is already training this model\n`,
    });
    job.closeInput();
    expect((await job.finished).exitCode).toBe(0);
  });

  test("holds: check says who, with exit code 1", async () => {
    const of = configuration(await temporaryRoot());
    const job = peer.start(of);
    await job.waitFor("HELD");

    const check = await trainlock(["check", ...of.args]);

    expect(check).toMatchObject({ exitCode: 1, stdout: "" });
    const lines = check.stderr.split("\n");
    const heldBy = lines[5] ?? "";
    expect(lines).toEqual([
      "[PRE-FLIGHT CHECK FAILED]",
      "Configuration is already being trained:",
      "  Strategy: baseline",
      "  Dataset: IDD-AW",
      "  Model: deeplabv3plus_r50",
      expect.stringMatching(/^ {2}Held by: /),
      `  Since: ${known(peer, job, of).since}`,
      "Skipping to avoid duplicate training.",
      "",
    ]);
    expect(heldBy).toContain(`PID ${job.pid}`);
    if (peer.kind === "fcntl")
      expect(heldBy).toBe(`  Held by: Job 123456 on ${hostname()} (PID ${job.pid}, user ${user})`);
  });

  test("holds: list shows it as active, with its PID", async () => {
    const of = configuration(await temporaryRoot());
    const job = peer.start(of);
    await job.waitFor("HELD");

    const list = await trainlock(["list", "--root", of.root]);

    const { line, path } = known(peer, job, of);
    const expected = listing([{ kind: peer.kind, name: of.name, label: "ACTIVE", known: line, path }]);
    expect(list).toEqual({ exitCode: 0, signal: null, stderr: "", stdout: expected });
  });

  test("is turned away while run holds, and run keeps its lock", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const marker = readFileSync(of.marker, "utf8");
    expect(marker).toMatch(/^\d+\n$/);

    const turnedAway = await peer.start(of).finished;

    expect(turnedAway).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("SKIP") });
    expect(readFileSync(of.marker, "utf8")).toBe(marker);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("and run follow each other when the other has let go", async () => {
    const of = configuration(await temporaryRoot());
    const job = peer.start(of);
    await job.waitFor("HELD");
    job.closeInput();
    await job.finished;
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0, stderr: "" });

    const next = peer.start(of);
    await next.waitFor("HELD");
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
  });
});

describe("a bash job whose training inherits descriptor 200", () => {
  requiresPrograms("bash", "flock")("is shown with the PID of the job, not of its training", async () => {
    const of = configuration(await temporaryRoot());
    const job = startFlockJob(of, ["cat"]);
    await job.waitFor("HELD");

    const { stdout } = await trainlock(["list", "--root", of.root, "--json"]);

    expect(JSON.parse(stdout).locks).toMatchObject([{ status: "active", pid: job.pid }]);
  });
});

describe("the Python tool's commands while run holds", () => {
  const test = requiresPrograms("python3");

  test("is-locked sees the lock, list names it, and clear leaves it alone", async () => {
    const of = configuration(await temporaryRoot());
    await holdWithRun(of.args);

    expect(await pythonLocks("is-locked", of.kernelLock)).toMatchObject({ exitCode: 1, stdout: "LOCKED\n" });
    expect(await pythonLocks("list", of.lockDir)).toMatchObject({ stdout: `LOCKED ${of.kernelLock}\n` });
    expect(await pythonLocks("clear", of.lockDir)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    expect(await pythonJob.start(of).finished).toMatchObject({ exitCode: 1 });
  });

  test("clear after run removes the free file, and the next generation still follows", async () => {
    const of = configuration(await temporaryRoot());
    const generation = async () => {
      const run = await trainlock(["run", ...of.args, "--", "sh", "-c", "echo $TRAINLOCK_GENERATION"]);
      return Number(run.stdout);
    };
    const first = await generation();
    expect(first).toBeGreaterThan(0);
    await pythonLocks("clear", of.lockDir);
    expect(await generation()).toBe(first + 1);
  });
});

describe("a start among peers that probe by locking", () => {
  const test = requiresPrograms("python3");

  for (const command of ["list", "clear"] as const) {
    test(`is not turned away by an endless ${command}`, async () => {
      const of = configuration(await temporaryRoot());
      await trainlock(["run", ...of.args, "--", "true"]);
      const probing = pythonProbing(command, of.lockDir);

      for (let attempt = 0; attempt < 10; attempt++) {
        const run = await trainlock(["run", ...of.args, "--", "true"]);
        expect(run).toMatchObject({ exitCode: 0, stderr: "" });
      }

      probing.kill("SIGTERM");
      expect((await probing.finished).stderr).toBe("");
    });
  }
});
