import { mkdir, writeFile } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { describe, expect, test } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { deadPid } from "../support/process-state.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { listing, writtenAt } from "./listing.ts";

describe("list", () => {
  test("without any lock, before and after there are folders", async () => {
    const of = configuration(await temporaryRoot());
    const list = () => trainlock(["list", "--root", of.root]);
    const none = { exitCode: 0, signal: null, stdout: "No active training locks\n", stderr: "" };
    expect(await list()).toEqual(none);
    await mkdir(of.weightsDir, { recursive: true });
    await mkdir(of.lockDir);
    await writeFile(`${of.lockDir}/README`, "not a lock");
    expect(await list()).toEqual(none);
    await trainlock(["run", ...of.args, "--", "true"]);
    expect(await list()).toEqual(none);
    const json = await trainlock(["list", "--root", of.root, "--json"]);
    expect(JSON.parse(json.stdout)).toEqual({ total: 0, locks: [] });
  });

  test("--file-only and --fcntl-only leave the other section out", async () => {
    const of = configuration(await temporaryRoot());
    await holdWithRun(of.args);
    const both = await trainlock(["list", "--root", of.root]);
    const sections = /^(=== File-based.*?)\n(=== fcntl-based.*?)\nTotal locks: 2\n$/s.exec(both.stdout);
    expect(sections).not.toBeNull();
    const file = await trainlock(["list", "--root", of.root, "--file-only"]);
    expect(file.stdout).toBe(`${sections?.[1]}\nTotal locks: 1\n`);
    const fcntl = await trainlock(["list", "--root", of.root, "--fcntl-only"]);
    expect(fcntl.stdout).toBe(`${sections?.[2]}\nTotal locks: 1\n`);
  });

  test("--no-verify-pid asks nobody and says so", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, `${process.pid}\n`);
    const known = `PID: ${process.pid}, Started: ${writtenAt(of.marker)}`;
    const list = await trainlock(["list", "--root", of.root, "--no-verify-pid"]);
    expect(list.stdout).toBe(listing([{ kind: "file", name: of.name, label: "UNVERIFIED", known, path: of.marker }]));
    const json = await trainlock(["list", "--root", of.root, "--no-verify-pid", "--json"]);
    expect(JSON.parse(json.stdout).locks).toMatchObject([{ status: "unverified", label: "UNVERIFIED", evidence: [] }]);
  });

  test("--json has every lock with holder and evidence", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    const strange = configuration(root, "aaa");
    const holder = await holdWithRun(of.args, { env: { LSB_JOBID: "123456" } });
    await writeMarker(strange, "12\n34\n");

    const list = await trainlock(["list", "--root", root, "--json"]);

    expect(list).toMatchObject({ exitCode: 0, stderr: "" });
    const time = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}$/);
    const finding = (says: string) => ({ source: expect.any(String), says, detail: expect.any(String) });
    const someone = {
      pid: holder.pid,
      hostname: hostname(),
      user: userInfo().username,
      jobId: "123456",
      acquiredAt: time,
      generation: holder.generation,
      command: expect.arrayContaining(["sh", "-c"]),
      living: null,
    };
    const active = {
      name: of.name,
      status: "active",
      label: "ACTIVE",
      pid: holder.pid,
      started: time,
      holder: someone,
    };
    expect(JSON.parse(list.stdout)).toEqual({
      total: 3,
      locks: [
        {
          kind: "file",
          name: strange.name,
          status: "unknown",
          label: "UNKNOWN - remote process",
          pid: null,
          started: writtenAt(strange.marker),
          path: strange.marker,
          holder: null,
          evidence: [finding("unknown")],
        },
        { kind: "file", path: of.marker, ...active, evidence: expect.arrayContaining([finding("alive")]) },
        { kind: "fcntl", path: of.kernelLock, ...active, evidence: expect.arrayContaining([finding("alive")]) },
      ],
    });
  });
});

test("--fail-on is exit code 1 where a lock has such a state, and only there", async () => {
  const root = await temporaryRoot();
  const of = configuration(root);
  const list = async (...options: string[]) => (await trainlock(["list", "--root", root, ...options])).exitCode;
  expect(await list("--fail-on", "stale,unknown,active")).toBe(0);
  await writeMarker(of, `${deadPid}\n`);
  expect(await list()).toBe(0);
  expect(await list("--fail-on", "active")).toBe(0);
  expect(await list("--fail-on", "stale,unknown")).toBe(1);
  expect(await list("--short", "--fail-on=stale,unknown", "--json")).toBe(1);
  expect(await list("--fail-on", "broken")).toBe(2);
});
