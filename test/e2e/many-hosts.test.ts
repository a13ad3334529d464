import { readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { leaveForeignMarker } from "../support/foreign-lock.ts";
import { standIns } from "../support/stand-ins.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const locks = 1000;
const hosts = 100;
/** The last tenth of the hosts is silent. */
const hostOf = (n: number) => `${n % hosts >= 90 ? "silent" : "node"}-${n % hosts}`;
const bootIdOf = (n: number) => `00000000-0000-4000-8000-${String(n % hosts).padStart(12, "0")}`;

/** A process that lives as long as this test. */
const pidNamespace = Number(/\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0]);
const stat = readFileSync("/proc/self/stat", "utf8");
const startTimeTicks = Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]);

test("1,000 locks on 100 hosts, 10 of them silent: one scheduler call, one ssh a host, at most 16 at once", async () => {
  const root = await temporaryRoot();
  for (let n = 0; n < locks; n += 1) {
    const of = configuration(root, "baseline", "IDD-AW", `model_${n}`);
    // Every second holder has ended: its PID is another process now.
    const started = n % 200 < 100 ? startTimeTicks : startTimeTicks - 1;
    const scheduler = { kind: "slurm", job_id: String(n + 1), restart_count: 0 };
    const owner = { hostname: hostOf(n), pid: process.pid, bootId: bootIdOf(n), pidNamespace };
    leaveForeignMarker(of, { ...owner, startTimeTicks: started, jobId: String(n + 1), scheduler });
  }
  const { env, log } = await standIns("squeue", "sacct");

  const begun = performance.now();
  const list = await trainlock(["list", "--root", root, "--json", "--ssh-timeout", "5s"], { env, timeoutMs: 25_000 });
  console.info(`1,000 locks on 100 hosts: ${((performance.now() - begun) / 1000).toFixed(1)} s`);

  expect(list.stderr).toBe(
    "trainlock: Slurm gives no evidence: squeue failed (exit 1): squeue: cannot reach the scheduler\n",
  );
  const found: { status: string; label: string }[] = JSON.parse(list.stdout).locks;
  const count = (label: string) => found.filter((lock) => lock.label === label).length;
  expect(count("ACTIVE")).toBe(450);
  expect(count("STALE - PID not running")).toBe(450);
  expect(count("UNKNOWN - remote process")).toBe(100);

  const lines = log();
  expect(lines.filter((line) => line.startsWith("start squeue"))).toHaveLength(1);
  expect(lines.filter((line) => line.startsWith("start ssh"))).toHaveLength(hosts);
  // Silent ones never log an end: they are running all the time, as far as anybody can tell.
  let [running, most] = [0, 0];
  for (const line of lines.filter((line) => line.includes(" ssh ") && !line.includes("silent-"))) {
    running += line.startsWith("start") ? 1 : -1;
    most = Math.max(most, running);
  }
  expect(most).toBeLessThanOrEqual(16);
}, 60_000);

test("no lock that is purely local makes anybody be asked", async () => {
  const of = configuration(await temporaryRoot());
  const { env, log } = await standIns("squeue", "bjobs", "qstat");
  expect(await trainlock(["check", ...of.args], { env })).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await trainlock(["run", ...of.args, "--", "sh", "-c", "kill -9 $PPID"], { env })).toMatchObject({
    exitCode: null,
  });
  expect(await trainlock(["list", "--root", of.root], { env })).toMatchObject({ exitCode: 0, stderr: "" });
  expect(await trainlock(["run", ...of.args, "--", "true"], { env })).toMatchObject({ exitCode: 0, stderr: "" });
  expect(log()).toEqual([]);
});

test("a scheduler is waited for as long as the site's file says, also where that is less than the default", async () => {
  const root = await temporaryRoot();
  const of = configuration(root);
  const scheduler = { kind: "slurm", job_id: "7", restart_count: 0 };
  leaveForeignMarker(of, {
    hostname: "node-1",
    pid: 1,
    bootId: bootIdOf(1),
    pidNamespace,
    startTimeTicks,
    jobId: "7",
    scheduler,
  });
  const bin = await temporaryRoot();
  writeFileSync(join(bin, "squeue"), "#!/bin/sh\nsleep 3\necho late >&2\nexit 1\n", { mode: 0o755 });
  const { env } = await standIns();
  const list = () => trainlock(["list", "--root", root], { env: { ...env, PATH: `${bin}:${env.PATH}` } });
  expect((await list()).stderr).toContain("squeue failed (exit 1): late");
  writeFileSync(join(root, "trainlock.yaml"), "timeouts:\n  scheduler: 1s\n");
  expect((await list()).stderr).toContain("squeue did not answer in time");
});
