import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "vitest";
import { startCluster } from "../etcd/cluster.ts";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { etcdTest } from "./store.ts";

etcdTest(
  "a store put back from a backup gives a revision twice, and the first holder does not take it for its own",
  async () => {
    const cluster = await startCluster();
    const of = configuration(await temporaryRoot());
    const env = { TRAINLOCK_STORE: cluster.url };
    const options = [...of.args, "--no-also-marker"];
    const says = ["sh", "-c", 'echo "$TRAINLOCK_GENERATION"'];
    await trainlock(["run", ...options, "--", ...says], { env });
    const snapshot = join(cluster.folder, "snapshot");
    await cluster.etcdctl("snapshot", "save", snapshot);
    const holder = await holdWithRun([...options, "--on-lost", "warn"], { env });
    const stopped = [holder.pid, keeperOf(holder.pid)];
    for (const pid of stopped) process.kill(pid, "SIGSTOP");
    await cluster.restoreFrom(snapshot);
    // On another host: here the command of the first one would be found.
    const other = configuration(await temporaryRoot());
    const second = await trainlock(["run", ...other.args, "--no-also-marker", "--", ...says], { env });
    expect(second).toMatchObject({ exitCode: 0, stdout: `${holder.generation}\n` });
    for (const pid of stopped) process.kill(pid, "SIGCONT");
    await expect.poll(() => holder.stderr(), { timeout: 10_000 }).toContain("another claim has been made since");
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0, stderr: expect.not.stringContaining("claimed again") });
  },
);

function keeperOf(parent: number): number {
  const listed = execFileSync("ps", ["-eo", "pid,ppid,comm"], { encoding: "utf8" });
  const line = listed.split("\n").find((each) => new RegExp(`^ *\\d+ +${parent} lease-keeper$`).test(each));
  return Number(line?.trim().split(" ")[0]);
}
