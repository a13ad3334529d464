import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { HostReply } from "../../src/evidence/remote/ask-host.ts";
import { bareOnHosts } from "../../src/evidence/remote/bare-on-hosts.ts";
import { ownerOf } from "../../src/evidence/remote/owner.ts";
import { recordIn } from "../../src/model/owner-record.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { localIso } from "../../src/system/clock/local-time.ts";
import { hostName } from "../support/host-name.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { foundNothing } from "./answers.ts";

const nowMs = 1_800_000_000_000;
const tookLockMs = nowMs - 600_000;

/**
 * What its host says of a Python job whose process is 700 s old, and which wrote down when it took its lock by a clock of its own.
 */
async function verdict(saidMs: number) {
  const path = join(await temporaryRoot(), "s_d_m.lock");
  const json = { hostname: "node01", pid: 42, user: "alice", acquired_at: localIso(saidMs * 1000) };
  writeFileSync(path, JSON.stringify(json));
  utimesSync(path, tookLockMs / 1000, tookLockMs / 1000);
  const record = recordIn(parseOwnerRecord(Buffer.from(JSON.stringify(json))));
  const lock = { kind: "fcntl", name: "s/d/m", path, lockPath: path, weightsDir: null } as const;
  const rest = { recordProblem: null, marker: null, pid: 42, startedAt: null } as const;
  const { process } = ownerOf({ ...lock, ...rest, kernelLock: { state: "free" }, record });
  if (process?.kind !== "bare") throw new Error("no bare PID");
  const found = { uid: 1000, name: "python", startTimeTicks: 500, zombie: false, ageTicks: 70_000 };
  const answer = { ...foundNothing, hostname: "node01", processes: new Map([[42, found]]) };
  const reply: HostReply = { kind: "answer", askedAt: nowMs, tookMs: 50, answer };
  return bareOnHosts({ ...process, uid: 1000 }, [{ host: hostName("node01"), reply, jobId: null }])[0]?.says;
}

test("a living job is alive, whatever time zone its host has", async () => {
  for (const hours of [-5, -1, 0, 1, 9])
    expect(await verdict(tookLockMs + hours * 3_600_000), `${hours} h`).toBe("alive");
});
