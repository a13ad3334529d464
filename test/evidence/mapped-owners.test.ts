import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { bareOnHosts } from "../../src/evidence/remote/bare-on-hosts.ts";
import { mapsOwners } from "../../src/system/files/mounts.ts";
import { configuration, writeMarker } from "../support/configuration.ts";
import { hostName } from "../support/host-name.ts";
import { noclobberJob } from "../support/peers.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";
import { foundNothing } from "./answers.ts";

const idmapped = fileURLToPath(new URL("../support/idmapped.py", import.meta.url));
const onMapped = requiresPrograms("root", "idmapped mounts", "a local file system and the initial PID namespace");

/** The executable where the root shows each file as another user's: 0 as 1000, and so on. */
async function call(root: string, ...args: readonly string[]) {
  return finish("unshare", ["--mount", "python3", idmapped, root, executable, ...args], { env: environment() });
}

async function label(root: string): Promise<string> {
  const { stdout } = await call(root, "list", "--root", root, "--scheduler", "none", "--json");
  return (JSON.parse(stdout) as { locks: { label: string }[] }).locks[0]?.label ?? "";
}

describe("where a mount shows other owners than the file system has", () => {
  onMapped("a job is alive, though its marker looks like another user's", async () => {
    const of = configuration(await temporaryRoot());
    const job = noclobberJob.start(of);
    await job.waitFor("HELD");
    expect(await label(of.root)).toBe("ACTIVE");
    expect(await call(of.root, "check", ...of.args, "--scheduler", "none")).toMatchObject({ exitCode: 1 });
    job.kill("SIGKILL");
    await job.finished;
    expect(await label(of.root)).toBe("STALE - PID not running");
  });

  onMapped("whoever writes there may be its owner", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, `${deadPid}\n`);
    expect(await label(of.root)).toBe("STALE - PID not running");
    // Nobody's child, as what a script leaves behind: a relative of the asking call does not count.
    const line = `exec 7>'${of.weightsDir}/x.pth'; echo $$ >&3; exec sleep 60`;
    const { stdout } = await finish("sh", ["-c", `setsid --fork sh -c "$1" 3>&1 >/dev/null`, "sh", line], {
      env: environment(),
    });
    onTestFinished(() => void process.kill(Number(stdout), "SIGKILL"));
    expect(await label(of.root)).toBe("ACTIVE");
  });

  onMapped("a job that went through that mount is alive for who does not, by what it does there", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, "");
    // In its mount it is user 1000's, and the file system has user 0 for that.
    const line = `echo $$ >'${of.marker}'; exec 7>'${of.weightsDir}/x.pth'; echo open; exec cat`;
    const as = ["setpriv", "--reuid=1000", "--regid=1000", "--clear-groups", "sh", "-c", line];
    const job = startProcess("unshare", ["--mount", "python3", idmapped, of.root, ...as], { env: environment() });
    onTestFinished(() => job.closeInput());
    await job.waitFor("open");
    expect(await trainlock(["check", ...of.args, "--scheduler", "none"])).toMatchObject({ exitCode: 1 });
  });

  test.each([
    ["vfat", ["rw", "uid=0"], true],
    ["fuse.sshfs", [], true],
    ["ext4", ["rw", "idmapped"], true],
    ["ext4", ["rw"], false],
    ["nfs4", ["rw"], false],
  ])("%s %j: %s", (fileSystem, options, maps) => {
    expect(mapsOwners({ fileSystem, options })).toBe(maps);
  });
});

describe("on another host, a process with the number, older than the marker, and of another user", () => {
  const since = 2_000_000_000 - 100;
  const owner = { kind: "bare", host: null, pid: 42, marker: "/w/m/.training_lock", user: null, since } as const;
  const found = { uid: 1001, name: "train", startTimeTicks: 500, zombie: false, ageTicks: 100_000 };
  const says = (change: Partial<typeof foundNothing>, uid: number | null = 1000, process = found) => {
    const answer = { ...foundNothing, processes: new Map([[42, process]]), ...change };
    const reply = { kind: "answer", askedAt: 2_000_000_000_000, tookMs: 50, answer } as const;
    return bareOnHosts({ ...owner, uid, changedAt: since }, [{ host: hostName("node01"), reply, jobId: null }]).map(
      (evidence) => evidence.says,
    );
  };
  const told = (argument: string) => ({ commands: new Map([[42, ["train", argument]]]) });
  const opened = (path: string, pid = 42) => ({ opened: [{ pid, writes: false, path }] });

  test("is the writer if it works in the marker's folder", () => {
    expect(says({})).toEqual(["dead"]);
    expect(says(told("--work-dir=/w/m/"))).toEqual(["alive"]);
    expect(says(told("/w/m"))).toEqual(["alive"]);
    expect(says(told("/w/m_2"))).toEqual(["dead"]);
    expect(says(opened("/w/m/x.pth"))).toEqual(["alive"]);
    expect(says(opened("/w/m/x.pth", 43))).toEqual(["dead"]);
    expect(says(opened("/w/m/.training_lock"))).toEqual(["dead"]);
    expect(says(opened("/w/m_2/x.pth"))).toEqual(["dead"]);
    // Younger than the marker, by more than clocks differ.
    expect(says(told("/w/m"), 1000, { ...found, ageTicks: 10 * 100 })).toEqual(["dead"]);
    expect(says(told("/w/m"), 1000, { ...found, ageTicks: -400 * 100 })).not.toEqual(["alive"]);
  });

  test("is not known where nobody can see whose the marker is", () => {
    expect(says({}, null)).toEqual(["unknown"]);
    const writes = { opened: [{ pid: 42, writes: true, path: "/w/m/x.pth" }] };
    expect(says({ ...writes }, null)).toEqual(["alive"]);
  });
});
