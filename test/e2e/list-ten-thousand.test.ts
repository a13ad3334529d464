import { readFileSync, utimesSync } from "node:fs";
import { mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { expect } from "vitest";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { flockJob, noclobberJob, pythonJob } from "../support/peers.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, holdWithRun, killWithCommand, trainlock } from "../support/trainlock.ts";
import { type ExpectedLock, listing, writtenAt } from "./listing.ts";

const foldersWanted = 10_000;
const locksWanted = 200;

const two = (n: number) => String(n).padStart(2, "0");
const longAgo = () => Date.now() / 1000 - 3600;

/** 20 strategies, 10 datasets, 50 models. */
async function manyFolders(root: string): Promise<TestConfiguration[]> {
  const all = Array.from({ length: foldersWanted }, (_, n) =>
    configuration(
      root,
      `strategy${two(n % 20)}`,
      `Data-${two(Math.floor(n / 20) % 10)}`,
      `model${two(Math.floor(n / 200))}`,
    ),
  );
  for (const { weightsDir } of all) await mkdir(weightsDir, { recursive: true });
  return all;
}

type MarkerKind = { label: string; pid: number | null; make: (of: TestConfiguration) => Promise<unknown> };

/** Every kind of marker that one may find, without a process of its own. */
const markerKinds: readonly MarkerKind[] = [
  { label: "ACTIVE", pid: process.pid, make: (of) => writeMarker(of, `${process.pid}\n`) },
  { label: "STALE - PID not running", pid: deadPid, make: (of) => writeMarker(of, `${deadPid}\n`) },
  {
    label: "STALE - no PID",
    pid: null,
    make: async (of) => {
      await writeMarker(of, "");
      utimesSync(of.marker, longAgo(), longAgo());
    },
  },
  {
    label: "STALE - no PID",
    pid: null,
    make: async (of) => {
      await writeMarker(of, "locked\n");
      utimesSync(of.marker, longAgo(), longAgo());
    },
  },
  { label: "UNKNOWN - being created", pid: null, make: (of) => writeMarker(of, "") },
  { label: "UNKNOWN - remote process", pid: null, make: (of) => writeMarker(of, "12\n34\n") },
  { label: "UNKNOWN - remote process", pid: null, make: (of) => writeMarker(of, Buffer.from([0, 255, 7, 27, 49])) },
  { label: "UNKNOWN - remote process", pid: null, make: (of) => writeMarker(of, "99999999999\n") },
  { label: "UNKNOWN - remote process", pid: null, make: (of) => mkdir(of.marker) },
  { label: "UNKNOWN - remote process", pid: null, make: (of) => finish("mkfifo", [of.marker]) },
  { label: "UNKNOWN - remote process", pid: null, make: (of) => symlink("/etc/passwd", of.marker) },
  {
    label: "UNKNOWN - remote process",
    pid: null,
    make: async (of) => {
      await writeMarker(of, "");
      await truncate(of.marker, 2 ** 30);
    },
  },
];

async function marker(of: TestConfiguration, kind: MarkerKind): Promise<ExpectedLock> {
  await kind.make(of);
  const known = `PID: ${kind.pid ?? "none"}, Started: ${writtenAt(of.marker)}`;
  return { kind: "file", name: of.name, label: kind.label, known, path: of.marker };
}

/** What a Python job, or a bash one without a PID, leaves in the lock dir when it is killed. */
async function leftover(of: TestConfiguration, n: number): Promise<ExpectedLock> {
  const writer = { job_id: String(n), hostname: hostname(), user: "alice" };
  const names = { strategy: of.strategy, dataset: of.dataset.toLowerCase().replaceAll("-", "_"), model: of.model };
  const time = "2026-01-12T16:52:55.136674";
  const python = { ...names, ratio: null, aux_loss: null, ...writer, pid: deadPid, acquired_at: time };
  const record = n % 2 === 0 ? python : { ...names, ...writer, started: time };
  await mkdir(of.lockDir, { recursive: true });
  await writeFile(of.kernelLock, JSON.stringify(record, null, 2));
  const pid = n % 2 === 0 ? `PID: ${deadPid}, ` : "";
  const known = `${pid}Job: ${n}, Host: ${hostname()}, User: alice, Started: ${time}`;
  return { kind: "fcntl", name: of.name, label: "STALE - lock not held", known, path: of.kernelLock };
}

/** Both locks of one that run took. */
function claimed(of: TestConfiguration, pid: number, labels: { file: string; fcntl: string }): ExpectedLock[] {
  const since = JSON.parse(readFileSync(of.kernelLock, "utf8")).acquired_at;
  const about = `Job: 123456, Host: ${hostname()}, User: ${userInfo().username}, Started: ${since}`;
  return [
    { kind: "file", name: of.name, label: labels.file, known: `PID: ${pid}, Started: ${since}`, path: of.marker },
    { kind: "fcntl", name: of.name, label: labels.fcntl, known: `PID: ${pid}, ${about}`, path: of.kernelLock },
  ];
}

requiresPrograms(
  "bash",
  "flock",
  "python3",
  "mkfifo",
  "a local file system and the initial PID namespace",
)(
  "list of 10,000 weights folders with 200 locks of all kinds is the documented text, byte for byte",
  async () => {
    const root = await temporaryRoot();
    const folders = await manyFolders(root);
    // Spread over the whole tree, each folder at most once. 37 and 10,000 have no common divisor.
    let next = 0;
    const another = (): TestConfiguration => {
      const of = folders[(next++ * 37) % folders.length];
      if (of === undefined) throw new Error("no folder left");
      return of;
    };
    const job = { env: { LSB_JOBID: "123456" } };
    const expected: ExpectedLock[] = [];

    const ran = another();
    const held = await holdWithRun(ran.args, job);
    expected.push(...claimed(ran, held.pid, { file: "ACTIVE", fcntl: "ACTIVE" }));

    const orphaned = another();
    const wrapper = await holdWithLastingCommand(orphaned.args, job);
    wrapper.kill("SIGKILL");
    await wrapper.finished;
    // The wrapper has ended: the command that lives stands in its place.
    expected.push(...claimed(orphaned, wrapper.commandPid, { file: "ACTIVE", fcntl: "ACTIVE" }));

    const dead = another();
    const killed = await holdWithLastingCommand(dead.args, job);
    await killWithCommand(killed);
    expected.push(...claimed(dead, killed.pid, { file: "STALE - PID not running", fcntl: "STALE - lock not held" }));

    for (const peer of [noclobberJob, flockJob, pythonJob]) {
      const of = another();
      const running = peer.start(of);
      await running.waitFor("HELD");
      const lock = { kind: peer.kind, name: of.name, label: "ACTIVE" };
      if (peer.kind === "file") {
        const known = `PID: ${running.pid}, Started: ${writtenAt(of.marker)}`;
        expected.push({ ...lock, known, path: of.marker });
      } else {
        const record = JSON.parse(readFileSync(of.kernelLock, "utf8"));
        const since = record.acquired_at ?? record.started;
        const about = `Job: 123456, Host: ${hostname()}, User: ${userInfo().username}, Started: ${since}`;
        expected.push({ ...lock, known: `PID: ${running.pid}, ${about}`, path: of.kernelLock });
      }
    }

    // No locks: what a finished run leaves, and an empty file, which says of nobody that he holds it.
    expect(await trainlock(["run", ...another().args, "--", "true"], job)).toMatchObject({ exitCode: 0 });
    await writeFile(another().kernelLock, "");

    for (let n = 0; n < 50; n++) expected.push(await leftover(another(), n));
    while (expected.length < locksWanted) {
      const kind = markerKinds[expected.length % markerKinds.length];
      if (kind !== undefined) expected.push(await marker(another(), kind));
    }

    const list = await trainlock(["list", "--root", root]);

    // Line by line first: a difference is then shown as one.
    expect(list.stdout.split("\n")).toEqual(listing(expected).split("\n"));
    expect(list).toEqual({ exitCode: 0, signal: null, stderr: "", stdout: listing(expected) });
  },
  120_000,
);
