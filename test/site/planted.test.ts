import { execFileSync } from "node:child_process";
import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

type Of = ReturnType<typeof configuration>;

/** Something planted by somebody who may write the shared folder, and the file outside that must stay as it is. */
type Plant = readonly [title: string, path: (of: Of) => string, plant: (path: string, outside: string) => void];

const linkToFile = (path: string, outside: string) => symlinkSync(join(outside, "file"), path);
const linkToNothing = (path: string, outside: string) => symlinkSync(join(outside, "new"), path);
const linkToFolder = (path: string, outside: string) => symlinkSync(outside, path);
const hardLink = (path: string, outside: string) => linkSync(join(outside, "file"), path);
const fifo = (path: string) => execFileSync("mkfifo", [path]);
const folder = (path: string) => mkdirSync(path);

const plants: readonly Plant[] = [
  ["a link for the lock file", (of) => of.kernelLock, linkToFile],
  ["a link to nothing for the lock file", (of) => of.kernelLock, linkToNothing],
  ["a hard link for the lock file", (of) => of.kernelLock, hardLink],
  ["a FIFO for the lock file", (of) => of.kernelLock, fifo],
  ["a folder for the lock file", (of) => of.kernelLock, folder],
  ["a link for the lock dir", (of) => of.lockDir, linkToFolder],
  ["a link for the weights dir", (of) => of.weightsDir, linkToFolder],
  ["a link for the strategy's folder", (of) => dirname(dirname(of.weightsDir)), linkToFolder],
  ["a link for the tree of weights", (of) => join(of.root, "WEIGHTS"), linkToFolder],
  ["a link for the marker", (of) => of.marker, linkToFile],
  ["a link to nothing for the marker", (of) => of.marker, linkToNothing],
  ["a FIFO for the marker", (of) => of.marker, fifo],
  ["a folder for the marker", (of) => of.marker, folder],
  ["a link for the marker's record", (of) => of.markerRecord, linkToFile],
  ["a hard link for the marker's record", (of) => of.markerRecord, hardLink],
  ["a FIFO for the marker's record", (of) => of.markerRecord, fifo],
];

describe.each(plants)("%s", (_, pathOf, plant) => {
  test.each([["run"], ["check"], ["list"], ["clear"]])("leads %s nowhere", async (command) => {
    const [root, outside] = [await temporaryRoot(), await temporaryRoot()];
    writeFileSync(join(outside, "file"), "somebody's");
    const of = configuration(root);
    mkdirSync(dirname(pathOf(of)), { recursive: true });
    plant(pathOf(of), outside);
    const names = command === "run" || command === "check" ? of.args : ["--root", root];
    const rest = command === "run" ? ["--", "true"] : command === "clear" ? ["--no-dry-run", "--force"] : [];
    const { exitCode, stderr, signal } = await trainlock([command, ...names, ...rest]);
    expect(signal).toBeNull();
    expect([0, 1, 3, 75], stderr).toContain(exitCode);
    expect(stderr).not.toContain("defect");
    expect(readdirSync(outside)).toEqual(["file"]);
    expect(readFileSync(join(outside, "file"), "utf8")).toBe("somebody's");
  });
});

test("a record that names a configuration outside the root leads nobody there", async () => {
  const root = await temporaryRoot();
  const of = configuration(root);
  const holder = await holdWithRun(of.args);
  const record = JSON.parse(readFileSync(of.markerRecord, "utf8"));
  const lies = { strategy: "../../../../tmp/trainlock-planted", dataset: "x", model: "y" };
  record.trainlock.configuration = { ...record.trainlock.configuration, ...lies };
  Object.assign(record, lies);
  holder.closeInput();
  await holder.finished;
  record.trainlock.released_at = null;
  mkdirSync(of.weightsDir, { recursive: true });
  writeFileSync(of.marker, `${record.pid}\n`);
  writeFileSync(of.markerRecord, JSON.stringify(record));
  for (const args of [
    ["list", "--root", root],
    ["check", ...of.args],
    ["clear", "--root", root, "--no-dry-run", "--force"],
  ])
    await trainlock(args);
  expect(existsSync("/tmp/trainlock-planted_x_y.lock")).toBe(false);
  expect(readdirSync(root).sort()).toEqual(["WEIGHTS", "training_locks"]);
});

describe("names that differ only in case or Unicode form", () => {
  const pairs: readonly (readonly [string, string])[] = [
    ["Baseline", "baseline"],
    ["caf\u00e9", "cafe\u0301"],
  ];
  test.each(pairs)("%j and %j are two trainings where the file system tells them apart", async (one, other) => {
    const root = await temporaryRoot();
    await holdWithRun(configuration(root, one).args);
    expect(await trainlock(["run", ...configuration(root, other).args, "--", "true"])).toMatchObject({ exitCode: 0 });
  });

  test.each(pairs)("%j and %j share no lock by mistake where it does not", async (one, other) => {
    const root = await temporaryRoot();
    const [first, second] = [configuration(root, one), configuration(root, other)];
    await holdWithRun(first.args);
    // What such a file system does: both names lead to the same files.
    linkSync(first.kernelLock, second.kernelLock);
    const { exitCode, stderr } = await trainlock(["run", ...second.args, "--", "true"]);
    expect(exitCode).toBe(3);
    expect(stderr).toMatch(/hard links|two configurations/);
  });
});
