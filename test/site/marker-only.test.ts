import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { replaceFile } from "../support/replace-file.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type Finished, finish, startProcess } from "../support/running-process.ts";
import { leaveStaleClaim, leftovers } from "../support/scenarios.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

const sayGeneration = ["--", "sh", "-c", "echo $TRAINLOCK_GENERATION"];
const onLustre = requiresPrograms("unshare --mount", "perl");

interface Place {
  readonly of: TestConfiguration;
  readonly before: readonly string[];
  call(...args: readonly string[]): Promise<Finished>;
}

async function lustre(): Promise<Place> {
  const of = configuration(await temporaryRoot());
  const [file = "", ...before] = lustreWithoutLocks(of.root).toldAndTrue;
  const call = (...args: readonly string[]) =>
    finish(file, [...before, executable, ...args], { env: environment(), timeoutMs: 15_000 });
  return { of, before: [file, ...before], call };
}

async function holder({ of, before }: Place, lasting = "exec cat >/dev/null") {
  const [file = "", ...args] = before;
  const script = `echo "HELD $$"; ${lasting}`;
  const running = startProcess(file, [...args, executable, "run", ...of.args, "--", "sh", "-c", script], {
    env: environment(),
  });
  await running.waitFor("\n");
  return Object.assign(running, { commandPid: Number(/HELD (\d+)/.exec(running.stdout())?.[1]) });
}

async function listed({ of, call }: Place): Promise<string[]> {
  const { locks } = JSON.parse((await call("list", "--root", of.root, "--json")).stdout);
  return locks.map(({ kind, label }: { kind: string; label: string }) => `${kind} ${label}`);
}

onLustre("run excludes by the marker, says so once, and asks for no kernel lock", async () => {
  const place = await lustre();
  const { of, call } = place;
  for (const generation of [1, 2, 3]) {
    const ended = await call("run", ...of.args, ...sayGeneration);
    expect(ended).toMatchObject({ exitCode: 0, stdout: `${generation}\n` });
    expect(ended.stderr.match(/no kernel locks can be had here.*the marker alone excludes/g)).toHaveLength(1);
  }
  expect(leftovers(of)).toEqual([]);
  expect(existsSync(of.kernelLock)).toBe(false);
  const running = await holder(place);
  expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 75, stdout: "" });
  expect(await call("check", ...of.args)).toMatchObject({ exitCode: 1 });
  expect(await listed(place)).toEqual(["file ACTIVE"]);
  await call("clear", "--root", of.root, "--force", "--no-dry-run");
  expect(existsSync(of.marker)).toBe(true);
  running.closeInput();
  expect(await running.finished).toMatchObject({ exitCode: 0 });
  expect(await call("check", ...of.args)).toMatchObject({ exitCode: 0 });
  expect(await listed(place)).toEqual([]);
});

onLustre("a command outlives its killed wrapper and still excludes; after it the next run takes over", async () => {
  const place = await lustre();
  const { of, call } = place;
  const running = await holder(place, `exec tail -f --pid=${process.pid} /dev/null`);
  running.kill("SIGKILL");
  await running.finished;
  expect(await listed(place)).toEqual(["file ACTIVE"]);
  expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 75 });
  process.kill(running.commandPid, "SIGKILL");
  await until("its end", () => (isRunning(running.commandPid) ? null : true));
  expect(await listed(place)).toEqual(["file STALE - PID not running"]);
  expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 0, stdout: "2\n" });
  expect(leftovers(of)).toEqual([]);
});

onLustre("a command that began long after its wrapper outlives it all the same, whatever its environment", async () => {
  const place = await lustre();
  const { of, call } = place;
  const running = await holder(place, `exec env -i tail -f --pid=${process.pid} /dev/null`);
  const isNoted = () => JSON.parse(readFileSync(of.markerRecord, "utf8")).trainlock.child_pid === running.commandPid;
  await until("the command in the record", () => isNoted() || null);
  running.kill("SIGKILL");
  await running.finished;
  const record = JSON.parse(readFileSync(of.markerRecord, "utf8"));
  const longBefore = record.trainlock.start_time_ticks - 100_000;
  const write = (change: object) =>
    writeFileSync(of.markerRecord, JSON.stringify({ ...record, trainlock: { ...record.trainlock, ...change } }));
  write({ start_time_ticks: longBefore });
  expect(await listed(place)).toEqual(["file ACTIVE"]);
  expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 75 });
  expect(await call("held", ...of.args, "--generation", "1")).toMatchObject({ exitCode: 0 });
  // A later process that got its PID is another, and no note names it.
  rmSync(join(of.weightsDir, ".training_lock.tree"), { force: true });
  write({ start_time_ticks: longBefore, child_start_time_ticks: record.trainlock.child_start_time_ticks - 1 });
  expect(await listed(place)).toEqual(["file STALE - PID not running"]);
  process.kill(running.commandPid, "SIGKILL");
});

/** Has the marker's record say that its owner is on another host. */
function makeForeign(of: TestConfiguration): void {
  const record = JSON.parse(readFileSync(of.markerRecord, "utf8"));
  const elsewhere = { boot_id: "00000000-0000-4000-8000-000000000000", machine_id: "0".repeat(64) };
  writeFileSync(
    of.markerRecord,
    JSON.stringify({ ...record, hostname: "elsewhere", trainlock: { ...record.trainlock, ...elsewhere } }),
  );
}

async function leaveDead(place: Place): Promise<void> {
  const running = await holder(place);
  running.kill("SIGKILL");
  running.closeInput();
  await running.finished;
  await until("its end", () => (isRunning(running.commandPid) ? null : true));
}

onLustre("what another host left is not taken over, whatever its age; clear removes it when told to", async () => {
  const place = await lustre();
  const { of, call } = place;
  await leaveDead(place);
  makeForeign(of);
  const turnedAway = await call("run", ...of.args, ...sayGeneration);
  expect(turnedAway).toMatchObject({ exitCode: 75, stdout: "" });
  expect(turnedAway.stderr).toContain("UNKNOWN - remote process");
  await call("clear", "--root", of.root, "--no-dry-run");
  expect(existsSync(of.marker)).toBe(true);
  const cleared = await call("clear", "--root", of.root, "--force", "--no-dry-run");
  expect(cleared).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("Cleared 1") });
  expect(readdirSync(of.weightsDir)).toEqual([".training_lock.json"]);
  expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 0, stdout: "2\n" });
});

onLustre("a host that has kernel locks takes no free one for proof of such a claim's end", async () => {
  const place = await lustre();
  const { of } = place;
  await leaveDead(place);
  makeForeign(of);
  mkdirSync(of.lockDir, { recursive: true });
  writeFileSync(of.kernelLock, "");
  const turnedAway = await trainlock(["run", ...of.args, ...sayGeneration]);
  expect(turnedAway).toMatchObject({ exitCode: 75, stdout: "" });
});

onLustre("clear removes what is stale, and leaves nothing of its own", async () => {
  const place = await lustre();
  const { of, call } = place;
  await leaveDead(place);
  const cleared = await call("clear", "--root", of.root, "--no-dry-run");
  expect(cleared).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("Cleared 1 stale lock") });
  expect(readdirSync(of.weightsDir)).toEqual([".training_lock.json"]);
  // The crashed claim's own word stays until the next one.
  expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 0, stdout: "2\n" });
  expect(leftovers(of)).toEqual([]);
});

onLustre("a lock file of times with kernel locks is respected, and cleared", async () => {
  const place = await lustre();
  const { of, call } = place;
  const old = { strategy: of.strategy, dataset: "idd_aw", model: of.model, job_id: "1", hostname: "elsewhere", pid: 7 };
  mkdirSync(of.lockDir, { recursive: true });
  writeFileSync(of.kernelLock, JSON.stringify({ ...old, user: "alice", acquired_at: "2026-01-12T16:49:29.536651" }));
  expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 75 });
  expect(await listed(place)).toEqual(["fcntl UNKNOWN - remote process"]);
  await call("clear", "--root", of.root, "--force", "--no-dry-run");
  expect(readdirSync(of.lockDir)).toEqual(["history"]);
  expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 0 });
});

onLustre("a holder whose marker is taken away is told, and stops its command", async () => {
  const place = await lustre();
  const running = await holder(place);
  replaceFile(place.of.marker, "1\n");
  expect(await running.finished).toMatchObject({ exitCode: 74 });
  expect(readFileSync(place.of.marker, "utf8")).toBe("1\n");
});

requiresPrograms("unshare --mount", "strace")(
  "where files cannot be exchanged, run takes nothing over and names clear, which can",
  async () => {
    const place = await lustre();
    const { of } = place;
    await leaveDead(place);
    const [file = "", ...told] = lustreWithoutLocks(of.root).told;
    const refusing = ["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=renameat2"];
    const inside = ["strace", ...refusing, "-e", "inject=renameat2:error=EINVAL"];
    const [unshare = "", ...rest] = [file, ...told];
    const call = (...args: readonly string[]) =>
      finish(inside[0] ?? "", [...inside.slice(1), unshare, ...rest, executable, ...args], { env: environment() });
    const turnedAway = await call("run", ...of.args, ...sayGeneration);
    expect(turnedAway).toMatchObject({ exitCode: 75, stdout: "" });
    expect(turnedAway.stderr).toContain("trainlock clear --no-dry-run");
    expect(readdirSync(of.weightsDir).sort()).toEqual([".training_lock", ".training_lock.json"]);
    expect(await call("clear", "--root", of.root, "--no-dry-run")).toMatchObject({ exitCode: 0 });
    expect(await call("run", ...of.args, ...sayGeneration)).toMatchObject({ exitCode: 0, stdout: "2\n" });
  },
);

onLustre("a mount that claims flock and fails it is a fault: exit 3, nothing started", async () => {
  const of = configuration(await temporaryRoot());
  const [file = "", ...before] = lustreWithoutLocks(of.root, "rw,flock").toldAndTrue;
  const ended = await finish(file, [...before, executable, "run", ...of.args, ...sayGeneration], {
    env: environment(),
  });
  expect(ended).toMatchObject({ exitCode: 3, stdout: "" });
  expect(ended.stderr).toContain("ENOSYS");
});

onLustre("the command itself is told that its claim is held, and when it is not", async () => {
  const { of, call } = await lustre();
  const script = `${executable} held && echo held; kill -STOP $PPID; rm ${of.marker}; ${executable} held; echo $?; kill -CONT $PPID`;
  const ended = await call("run", ...of.args, "--", "sh", "-c", script);
  expect(ended.stdout).toBe("held\n1\n");
});

test("a stale claim of a kernel lock is none of this", async () => {
  const of = configuration(await temporaryRoot());
  await leaveStaleClaim(of);
  expect(await trainlock(["run", ...of.args, ...sayGeneration])).toMatchObject({ exitCode: 0, stderr: "" });
});

requiresPrograms(
  "unshare --mount",
  "unshare --pid",
  "strace",
)("a release that takes long does not remove the marker of whoever comes next on another host", async () => {
  const { of } = await lustre();
  const { told } = lustreWithoutLocks(of.root);
  // As on a file server that is busy.
  const slow = ["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=unlink", "-P", of.marker];
  const holding = [...told, executable, "run", ...of.args, "--", "sh", "-c", "echo HELD; exec cat >/dev/null"];
  const holder = startProcess("strace", [...slow, "-e", "inject=unlink:delay_enter=1500000", ...holding], {
    env: environment(),
  });
  await holder.waitFor("HELD");
  const over = join(of.root, "over");
  const script = `until test -e ${over}; do sleep 0.05; done; test -e ${of.marker} && echo kept`;
  // Processes of the other are not to be seen there, and nothing proves their end but the record.
  const elsewhere = ["unshare", "--pid", "--fork", "--mount-proc", ...told, executable, "run", ...of.args];
  const [file = "", ...args] = [...elsewhere, "--quiet", "--", "sh", "-c", script];
  holder.closeInput();
  const next = until("the next one's turn", async () => {
    const tried = await finish(file, args, { env: environment() });
    return tried.exitCode === 75 ? null : tried;
  });
  expect(await holder.finished).toMatchObject({ exitCode: 0 });
  writeFileSync(over, "");
  expect(await next).toMatchObject({ exitCode: 0, stdout: "kept\n" });
  expect(leftovers(of)).toEqual([]);
});
