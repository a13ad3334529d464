import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { markerEvidence } from "../../src/evidence/bare-pid.ts";
import type { MarkerFacts } from "../../src/model/lock-facts.ts";
import { clockMovedSinceBootSeconds } from "../../src/system/clock/boot-clock.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { until } from "../support/until.ts";

const nsPerS = 1_000_000_000n;
const nowNs = () => BigInt(Date.now()) * 1_000_000n;

/** A marker that was read just now, in a folder of this host alone. */
async function marker(pid: number | null, change: Partial<MarkerFacts> = {}): Promise<[string, MarkerFacts]> {
  const path = join(await temporaryRoot(), "w", ".training_lock");
  mkdirSync(dirname(path));
  writeFileSync(path, pid === null ? "" : `${pid}\n`);
  const { ino, dev, uid } = statSync(path, { bigint: true });
  const times = { modifiedNs: nowNs(), changedNs: nowNs(), readAtMs: performance.now() };
  const content = pid === null ? "empty" : "pid";
  return [path, { pid, content, why: null, inode: ino, device: dev, uid: Number(uid), ...times, ...change }];
}

const says = async (...given: Parameters<typeof marker>) =>
  markerEvidence(...(await marker(...given))).map((found) => found.says);
const agoNs = (seconds: number) => nowNs() - BigInt(seconds) * nsPerS;
const written = (seconds: number) => ({ modifiedNs: agoNs(seconds), changedNs: agoNs(seconds) });

async function started(file: string, ...args: string[]): Promise<number> {
  const child = spawn(file, args, { stdio: "ignore" });
  onTestFinished(() => void child.kill("SIGKILL"));
  return child.pid ?? 0;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

const here = requiresPrograms("a local file system and the initial PID namespace");
const asRoot = requiresPrograms("a local file system and the initial PID namespace", "setpriv as root");

describe("a number in a marker", () => {
  here("is its writer's where a process of the marker's owner has it, and is older", async () => {
    const pid = await started("sleep", "60");
    expect(await says(pid)).toEqual(["alive"]);
    expect(await says(deadPid)).toEqual(["dead"]);
    // Its start is known to the tick, the marker's time to the server's clock.
    expect(await says(pid, written(1))).toEqual(["alive"]);
  });

  here("is nobody's where no process has it, the process is younger, or a thread of the kernel", async () => {
    const pid = await started("sleep", "60");
    expect(["dead", "unknown"]).toContain((await says(pid, written(86_400)))[0]);
    expect(await says(2, { uid: 0 })).toEqual(["dead"]);
  });

  asRoot("is nobody's where another user's process has it, but for one that works in that folder", async () => {
    const as = ["--reuid=65534", "--clear-groups"];
    const pid = await started("setpriv", ...as, "sleep", "60");
    await until("its user", () => (/^Uid:\t65534/m.test(read(`/proc/${pid}/status`)) ? true : null));
    expect(await says(pid)).toEqual(["dead"]);
    const [path, facts] = await marker(deadPid);
    const tells = async (...command: string[]) => {
      const told = await started("setpriv", ...as, ...command);
      await until("its command", () => (read(`/proc/${told}/cmdline`).startsWith(command[0] ?? "") ? true : null));
      return markerEvidence(path, { ...facts, pid: told, ...written(0) }).map((found) => found.says);
    };
    const wait = ["tail", "-f", "/dev/null"];
    expect(await tells(...wait)).toEqual(["dead"]);
    expect(await tells(...wait, join(dirname(path), "x.yaml"))).toEqual(["alive"]);
    // Not the folder whose name begins with it.
    expect(await tells(...wait, `${dirname(path)}_2`)).toEqual(["dead"]);
    const young = await started("setpriv", ...as, ...wait, dirname(path));
    await until("its command", () => (read(`/proc/${young}/cmdline`).startsWith("tail") ? true : null));
    expect(markerEvidence(path, { ...facts, pid: young, ...written(86_400) })[0]?.says).not.toBe("alive");
  });

  asRoot("proves nothing where owner or times were changed since that process began", async () => {
    const pid = await started("sleep", "60");
    const touched = { modifiedNs: agoNs(86_400), changedNs: nowNs() };
    const why = async (change: Partial<MarkerFacts>) => markerEvidence(...(await marker(pid, change)))[0];
    const changed = { says: "unknown", detail: expect.stringContaining("is older than the last change") };
    expect(await why(touched)).toMatchObject(changed);
    expect(await why({ ...touched, uid: 65_534 })).toMatchObject(changed);
    expect(await says(deadPid, touched)).toEqual(["dead"]);
    // Changed before it began: then it cannot be the writer.
    const before = { modifiedNs: agoNs(90_000), changedNs: agoNs(86_400) };
    expect(await why(before)).not.toMatchObject({ detail: changed.detail });
    expect(await why({ ...before, uid: 65_534 })).toMatchObject({ says: "dead" });
  });

  here("of a process that looks younger is as certain as the clock, which may have been set since boot", async () => {
    const pid = await started("sleep", "60");
    const moved = clockMovedSinceBootSeconds();
    expect(await says(pid, written(5))).toEqual([moved !== null && moved < 2 ? "dead" : "unknown"]);
    const farOff = Math.ceil((moved ?? 0) + 3600);
    expect(await says(pid, written(farOff))).toEqual([moved === null ? "unknown" : "dead"]);
  });

  test("proves nothing where it is 1, or where others may write the folder", async () => {
    expect(await says(1, written(1_000_000_000))).toEqual(["unknown"]);
    const [, facts] = await marker(deadPid);
    expect(markerEvidence("/proc/self/.training_lock", facts)[0]?.says).toBe("unknown");
  });
});

requiresPrograms("unshare --pid", "a local file system and the initial PID namespace")(
  "a number inside a container is asked for anew for each marker that was read later",
  async () => {
    // A number that nobody has out here: containers count from 1.
    const [path, before] = await marker(deadPid);
    expect(markerEvidence(path, before).map((found) => found.says)).toEqual(["dead"]);
    const folder = await temporaryRoot();
    const line = `echo ${deadPid - 2} >/proc/sys/kernel/ns_last_pid && { sleep 60 & echo $! >"${folder}/pid"; wait; }`;
    const pid = await started("unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-c", line);
    const inner = await until(`a process in the container ${pid}`, () => Number(read(join(folder, "pid"))) || null);
    const found = async (change: Partial<MarkerFacts>) => markerEvidence(...(await marker(inner, change)));
    expect(await found({})).toMatchObject([{ says: "alive", detail: expect.stringContaining("inside a container") }]);
    // Too young, or another user's: it is not the writer, or may be if the clock was set; and whoever else is in there may be.
    expect(await found(written(86_400))).toMatchObject([
      {
        says: "unknown",
        detail: expect.stringMatching(/a container has a process of that PID|inside a container of this host;/),
      },
    ]);
  },
);

describe("a marker without a number", () => {
  here("is being created for a minute, and then nobody's", async () => {
    expect(await says(null, written(5))).toEqual(["unknown"]);
    expect(await says(null, written(59))).toEqual(["unknown"]);
    expect(await says(null, written(70))).toEqual(["dead"]);
  });

  here("is unknown for as long as somebody has it open for writing", async () => {
    const [path, facts] = await marker(null, written(3600));
    const open = (how: string) => started("sh", "-c", `exec sleep 60 ${how}'${path}'`);
    await open("7<");
    const evidence = () => markerEvidence(path, facts).map((found) => found.says);
    expect(evidence()).toEqual(["dead"]);
    await open("7>>");
    await new Promise((resolve) => setImmediate(resolve));
    await until("it is open", async () => {
      await new Promise((resolve) => setImmediate(resolve));
      return evidence()[0] === "unknown" ? true : null;
    });
  });

  test("is unknown whatever its age where it holds what nobody writes", async () => {
    expect(await says(null, { content: "foreign", why: "two lines", ...written(86_400) })).toEqual(["unknown"]);
  });
});
