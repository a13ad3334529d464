import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { thisHost } from "../../src/system/processes/this-host.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { foreignRecord } from "../support/foreign-lock.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { standIns } from "../support/stand-ins.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

const asOnLustre = requiresPrograms("root", "unshare --mount");

/** A lock that `hostname` took on another boot and that nobody holds, on a file system that keeps locks as the options say. */
async function freeLockOf(hostname: string, options: string) {
  const of = configuration(await temporaryRoot());
  mkdirSync(of.lockDir);
  writeFileSync(of.kernelLock, JSON.stringify(foreignRecord(of, { hostname, pid: deadPid }, null)));
  const { told } = lustreWithoutLocks(of.root, options);
  const { env } = await standIns();
  const call = async (...args: readonly string[]) => {
    const [file = "", ...rest] = [...told, executable, ...args];
    return finish(file, rest, { env: environment(env), timeoutMs: 30_000 });
  };
  return { of, call };
}

type Called = Awaited<ReturnType<typeof freeLockOf>>;
const patience = ["--scheduler", "none", "--ssh-timeout", "1s"];

async function label({ of, call }: Called): Promise<string> {
  const { stdout } = await call("list", "--root", of.root, "--json", ...patience);
  return (JSON.parse(stdout) as { locks: { label: string }[] }).locks[0]?.label ?? stdout;
}

describe("a free lock that reaches every host", () => {
  asOnLustre("is no proof while its holder's host does not answer", async () => {
    const there = await freeLockOf("unknown-key-1", "rw,flock");
    expect(await label(there)).toBe("UNKNOWN - host not reached");
    expect(await there.call("check", ...there.of.args, ...patience)).toMatchObject({ exitCode: 1 });
    expect(await there.call("run", ...there.of.args, ...patience, "--", "true")).toMatchObject({ exitCode: 75 });
    await there.call("clear", "--root", there.of.root, "--no-dry-run", ...patience);
    expect(await label(there)).toBe("UNKNOWN - host not reached");
  });

  asOnLustre("is one once that host has answered that nothing of it runs", async () => {
    // The stand-in for ssh answers by the boot that its number stands for: that of the record.
    const there = await freeLockOf("node-0", "rw,flock");
    expect(await label(there)).toBe("STALE - lock not held");
    expect(await there.call("run", ...there.of.args, ...patience, "--", "true")).toMatchObject({ exitCode: 0 });
  });
});

describe("locks that were proved to reach some hosts", () => {
  const proof = (of: TestConfiguration) => {
    const seen = { mount_id: 9999, file_system: "lustre", source: "mgs@tcp:/scratch" };
    const { hostname, bootId } = thisHost();
    const hosts = [
      { ...seen, hostname, boot_id: bootId },
      { ...seen, hostname: "unknown-key-2", boot_id: "22222222-2222-4222-8222-222222222222" },
    ];
    const told = { format: 1, scope: "cluster", proved_at: "2026-01-12T16:49:29Z", hosts };
    writeFileSync(join(of.lockDir, ".site.json"), JSON.stringify(told));
  };

  asOnLustre("say nothing of a holder on a host that took no part", async () => {
    const labelOnceProved = async (hostname: string) => {
      const there = await freeLockOf(hostname, "rw,localflock");
      expect(await label(there)).toBe("UNKNOWN - remote process");
      proof(there.of);
      return label(there);
    };
    // That one took part: its lock is known to be free, and the host itself cannot be asked.
    expect(await labelOnceProved("unknown-key-2")).toBe("UNKNOWN - host not reached");
    expect(await labelOnceProved("unknown-key-3")).toBe("UNKNOWN - remote process");
  });
});
