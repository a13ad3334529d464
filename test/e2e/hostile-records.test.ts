import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { type ForeignOwner, foreignRecord, leaveForeignMarker } from "../support/foreign-lock.ts";
import { deadPid } from "../support/process-state.ts";
import { standIns } from "../support/stand-ins.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const hostile: Readonly<Record<string, ForeignOwner>> = {
  "an option for a host": { hostname: "-oProxyCommand=touch pwned", pid: deadPid },
  "a command for a host": { hostname: "$(touch pwned)", pid: deadPid },
  "two words for a host": { hostname: "node01 touch pwned", pid: deadPid },
  "a user and a path for a host": { hostname: "root@../pwned", pid: deadPid },
  "a host of 10 KB": { hostname: "n".repeat(10_240), pid: deadPid },
  "a line break in a host": { hostname: "node01\ntouch pwned", pid: deadPid },
  "a command for a job": { hostname: "-h", pid: deadPid, jobId: "1;touch pwned" },
  "a command for a scheduler's job": {
    hostname: "-h",
    pid: deadPid,
    scheduler: { kind: "slurm", job_id: "1;touch pwned", restart_count: 0 },
  },
  "an option for a job": {
    hostname: "-h",
    pid: deadPid,
    jobId: "--help",
    scheduler: { kind: "lsf", job_id: "--help", restart_count: 0 },
  },
  "two PIDs": { hostname: "-h", pid: "1 2" },
};

describe.each(Object.entries(hostile))("%s", (_, owner) => {
  const args = ["--json", "--hosts", "node-1"];

  test("in a marker's record reaches no command, and the lock is unknown", async () => {
    const of = configuration(await temporaryRoot());
    leaveForeignMarker(of, owner);
    const { env, log } = await standIns("squeue", "sacct", "bjobs", "qstat");

    const list = await trainlock(["list", "--root", of.root, ...args], { env, cwd: of.root });

    expect(list).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(list.stdout).locks).toMatchObject([{ status: "unknown" }]);
    expect(log().join("\n")).not.toMatch(/pwned|ProxyCommand|nnnn|--help|1 2/);
    expect(readdirSync(of.root)).not.toContain("pwned");
  });

  test("in a kernel lock's record reaches no command", async () => {
    const of = configuration(await temporaryRoot());
    mkdirSync(of.lockDir);
    writeFileSync(of.kernelLock, JSON.stringify(foreignRecord(of, owner, null)));
    const { env, log } = await standIns("squeue", "sacct", "bjobs", "qstat");

    const list = await trainlock(["list", "--root", of.root, ...args], { env, cwd: of.root });

    expect(list).toMatchObject({ exitCode: 0 });
    expect(log().join("\n")).not.toMatch(/pwned|ProxyCommand|nnnn|--help|1 2/);
    expect(readdirSync(of.root)).not.toContain("pwned");
  });
});

describe("a host that gives no answer", () => {
  test.each([
    ["unknown-key-1", "its ssh host key is unknown"],
    ["password-1", "ssh there wants a password or another key"],
    ["garbage-1", "it answers with something else (a forced command, or no shell)"],
    ["silent-1", "did not answer in time"],
  ])("%s: unknown, and why", async (hostname, why) => {
    const of = configuration(await temporaryRoot());
    leaveForeignMarker(of, { hostname, pid: deadPid });
    writeFileSync(`${of.weightsDir}/iter_15000.pth`, "weights");
    const { env } = await standIns();

    const list = await trainlock(["list", "--root", of.root, "-v", "--ssh-timeout", "0.3s"], { env });

    expect(list).toMatchObject({ exitCode: 0, stderr: "" });
    expect(list.stdout).toContain("[UNKNOWN - remote process]");
    expect(list.stdout).toMatch(new RegExp(`^ {4}unknown ssh: ${hostname} .*${why.replace(/[()]/g, "\\$&")}`, "m"));
    expect(list.stdout).toMatch(/^ {4}unknown files: last write \d+ s ago: iter_15000\.pth$/m);
  });
});

test("without ssh and without the record's scheduler: unknown, and why", async () => {
  const of = configuration(await temporaryRoot());
  const scheduler = { kind: "lsf", job_id: "123456", restart_count: 0 };
  leaveForeignMarker(of, { hostname: "node01", pid: deadPid, jobId: "123456", scheduler });

  const list = await trainlock(["list", "--root", of.root, "-v"], { env: { PATH: "/nonexistent" } });

  expect(list).toMatchObject({
    exitCode: 0,
    stderr: "trainlock: LSF gives no evidence: bjobs is not installed\n",
    stdout: expect.stringContaining("[UNKNOWN - remote process]"),
  });
  expect(list.stdout).toContain("unknown ssh: node01 cannot be asked: ssh is not installed");
  const silent = await trainlock(["list", "--root", of.root, "--scheduler", "none"], { env: { PATH: "/nonexistent" } });
  expect(silent).toMatchObject({ exitCode: 0, stderr: "" });
});
