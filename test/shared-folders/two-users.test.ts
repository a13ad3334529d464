import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { leftovers } from "../support/scenarios.ts";
import { executable, run } from "../support/trainlock.ts";
import { alice, as, bob, group, sharedRoot } from "./users.ts";

const withUsers = requiresPrograms("setpriv as root");

function runAs(user: number, of: TestConfiguration, umask = "022") {
  return run([...as(user, { umask }), executable, "run", ...of.args, "--", "true"]);
}

/** Wrapper and command gone by SIGKILL: what they held is stale. */
function dieAs(user: number, of: TestConfiguration, umask = "022") {
  return run([...as(user, { umask }), executable, "run", ...of.args, "--", "sh", "-c", "kill -9 $PPID $$"]);
}

/** What one user has noted is for all to read, and for nobody else to write. */
const isOwnHistory = (path: string) => /\/history\/[^/]+/.test(path);

function everythingIn(root: string): string[] {
  return readdirSync(root, { recursive: true, encoding: "utf8" }).map((name) => join(root, name));
}

const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);

describe("a folder that a group shares", () => {
  withUsers("umask 077 locks nobody of the group out", async () => {
    for (const folderMode of [0o770, 0o2770, 0o2775, 0o775]) {
      const root = sharedRoot(folderMode);
      const of = configuration(root);
      expect(await runAs(alice, of, "077")).toMatchObject({ exitCode: 0 });
      for (const path of everythingIn(root)) {
        const { gid, mode } = statSync(path);
        if (isOwnHistory(path)) {
          expect.soft({ path, gid, group: mode & 0o060 }).toEqual({ path, gid: group, group: 0o040 });
          continue;
        }
        expect.soft({ path, gid, group: mode & 0o060 }).toEqual({ path, gid: group, group: 0o060 });
        expect.soft({ path, others: mode & 0o002 }).toEqual({ path, others: 0 });
      }
      expect(await runAs(bob, of, "077")).toMatchObject({ exitCode: 0 });
      expect(await runAs(alice, of, "077")).toMatchObject({ exitCode: 0 });
      expect(leftovers(of)).toEqual([]);
    }
  });

  withUsers("folders below a set-group-id folder have that bit, too", async () => {
    const root = sharedRoot(0o2770);
    const of = configuration(root);
    await runAs(alice, of, "077");
    const folders = everythingIn(root).filter((path) => statSync(path).isDirectory() && !isOwnHistory(path));
    expect(folders.map(modeOf)).toEqual(folders.map(() => "2770"));
  });

  withUsers("what one left behind, the other takes over and clears", async () => {
    const root = sharedRoot(0o2770);
    const [first, second] = [configuration(root), configuration(root, "gen_IP2P")];
    await dieAs(alice, first, "077");
    await dieAs(alice, second, "077");
    expect(await runAs(bob, first, "077")).toMatchObject({ exitCode: 0 });
    const cleared = await run([...as(bob), executable, "clear", "--root", root, "--no-dry-run"]);
    expect(cleared).toMatchObject({ exitCode: 0 });
    expect(existsSync(second.marker)).toBe(false);
    expect(await run([...as(bob), executable, "list", "--root", root])).toMatchObject({
      stdout: expect.stringContaining("No active training locks"),
    });
  });

  withUsers("while one holds, the other is turned away and told who it is", async () => {
    const root = sharedRoot(0o2770);
    const of = configuration(root);
    const inner = [...as(bob), executable, "run", ...of.args, "--", "true"];
    // Started from within, by somebody else: root's setpriv may do so, alice could not. So bob comes from outside.
    const go = join(root, "go");
    const holding = run([
      ...as(alice, { umask: "077" }),
      executable,
      "run",
      ...of.args,
      "--",
      "sh",
      "-c",
      `while [ -d ${root} ] && [ ! -e ${go} ]; do sleep 0.02; done`,
    ]);
    while (!existsSync(of.markerRecord)) await new Promise((resolve) => setTimeout(resolve, 10));
    const turnedAway = await run(inner);
    writeFileSync(go, "");
    await holding;
    expect(turnedAway.exitCode).toBe(75);
    expect(turnedAway.stderr).toMatch(/PID: \d+/);
  });

  withUsers("a default ACL decides, not the umask", async () => {
    const root = sharedRoot(0o700, alice, alice);
    // user::rwx user:alice:rwx user:bob:rwx group::--- mask::rwx other::---, as setfacl -d would write it.
    const acl = [
      2,
      0,
      0,
      0,
      ...entry(1, 7),
      ...entry(2, 7, alice),
      ...entry(2, 7, bob),
      ...entry(4, 0),
      ...entry(16, 7),
      ...entry(32, 0),
    ];
    setXattr(root, "system.posix_acl_access", acl);
    setXattr(root, "system.posix_acl_default", acl);
    const of = configuration(root);
    expect(await runAs(alice, of, "077")).toMatchObject({ exitCode: 0 });
    expect(await runAs(bob, of, "077")).toMatchObject({ exitCode: 0 });
    expect(await runAs(alice, of, "077")).toMatchObject({ exitCode: 0 });
    for (const path of everythingIn(root))
      expect.soft({ path, others: statSync(path).mode & 0o007 }).toEqual({ path, others: 0 });
  });
});

describe("a site's file that init has written", () => {
  withUsers("is written by its owner alone, read by the group, and may allow links", async () => {
    for (const [folderMode, mode] of [
      [0o2775, "644"],
      [0o2770, "640"],
      [0o700, "600"],
    ] as const) {
      for (const umask of ["002", "077"]) {
        const root = sharedRoot(folderMode);
        expect(await run([...as(alice, { umask }), executable, "init", "--root", root])).toMatchObject({ exitCode: 0 });
        const file = join(root, "trainlock.yaml");
        expect({ umask, mode: modeOf(file) }).toEqual({ umask, mode });
        writeFileSync(file, "links: [/scratch]\n");
        if (folderMode === 0o700) continue;
        expect(await runAs(bob, configuration(root), umask)).toMatchObject({ exitCode: 0, stderr: "" });
      }
    }
  });
});

describe("a folder that is not for everybody", () => {
  withUsers("a private folder stays private", async () => {
    const root = sharedRoot(0o700, alice, alice);
    const of = configuration(root);
    expect(await runAs(alice, of, "000")).toMatchObject({ exitCode: 0 });
    for (const path of everythingIn(root))
      expect.soft({ path, open: statSync(path).mode & 0o077 }).toEqual({ path, open: 0 });
  });

  withUsers("a stranger is told whose it is, and with which mode", async () => {
    const root = sharedRoot(0o700, alice, alice);
    const refused = await runAs(bob, configuration(root));
    expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
    expect(refused.stderr).toMatch(/EACCES/);
    expect(refused.stderr).toContain(root);
    expect(refused.stderr).toMatch(new RegExp(`${alice}.*0700`));
  });

  withUsers("a folder that can only be read", async () => {
    const root = sharedRoot(0o755);
    const refused = await runAs(bob, configuration(root));
    expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
    expect(refused.stderr).toMatch(/EACCES/);
    expect(refused.stderr).toMatch(new RegExp(`${alice}.*0755`));
    expect(readdirSync(root)).toEqual([]);
  });

  withUsers("a weights folder that can only be read: no lock is left behind", async () => {
    const root = sharedRoot(0o2770);
    const of = configuration(root);
    mkdirSync(of.weightsDir, { recursive: true });
    for (const path of everythingIn(root)) chownSync(path, alice, group);
    chmodSync(of.weightsDir, 0o755);
    const refused = await runAs(bob, of);
    expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
    expect(refused.stderr).toContain(of.weightsDir);
    expect(refused.stderr).toMatch(new RegExp(`EACCES.*${alice}.*0755`, "s"));
    expect(readdirSync(of.weightsDir)).toEqual([]);
    expect(await runAs(alice, of)).toMatchObject({ exitCode: 0 });
  });

  withUsers("another user's lock file with mode 0644", async () => {
    const root = sharedRoot(0o2770);
    const of = configuration(root);
    await runAs(alice, of);
    chmodSync(of.kernelLock, 0o644);
    const refused = await runAs(bob, of);
    expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
    expect(refused.stderr).toContain(of.kernelLock);
    expect(refused.stderr).toMatch(new RegExp(`EACCES.*${alice}.*0644`, "s"));
    // It ends as run would.
    expect(await run([...as(bob), executable, "check", ...of.args])).toMatchObject({ exitCode: 3 });
  });

  withUsers("a sticky folder, where only the owner removes", async () => {
    const root = sharedRoot(0o3770);
    const of = configuration(root);
    await dieAs(alice, of, "077");
    for (const folder of [of.weightsDir, of.lockDir]) chmodSync(folder, 0o3770);
    const clearing = await run([...as(bob), executable, "clear", "--root", root, "--no-dry-run"]);
    expect(clearing.exitCode).toBe(3);
    const told = clearing.stdout + clearing.stderr;
    expect(told).toContain(of.marker);
    expect(told).toMatch(/EPERM|EACCES/);
    expect(told).toMatch(new RegExp(`${alice}`));
    expect(told).toMatch(/3770|1770/);
    expect(existsSync(of.marker)).toBe(true);
    const taking = await runAs(bob, of);
    expect(taking.exitCode).toBe(3);
    expect(taking.stderr).toContain(of.weightsDir);
    expect(taking.stderr).toMatch(/EPERM|EACCES/);
    expect(await runAs(alice, of)).toMatchObject({ exitCode: 0 });
    expect(leftovers(of)).toEqual([]);
    // The record of alice's last claim cannot be replaced by bob either; nothing of his may stay behind.
    const after = await runAs(bob, of);
    expect([0, 3]).toContain(after.exitCode);
    if (after.exitCode === 3) {
      expect(after.stdout).toBe("");
      expect(after.stderr).toMatch(/EPERM|EACCES/);
      expect(after.stderr).toContain(of.weightsDir);
      expect(after.stderr).toMatch(new RegExp(`${alice}.*3770`, "s"));
    }
    expect(leftovers(of)).toEqual([]);
    expect(await runAs(alice, of)).toMatchObject({ exitCode: 0 });
  });

  withUsers("a marker of another user that cannot be read is somebody's", async () => {
    const root = sharedRoot(0o2770);
    const of = configuration(root);
    await runAs(alice, of);
    writeFileSync(of.marker, "1\n");
    chownSync(of.marker, alice, alice);
    chmodSync(of.marker, 0o600);
    const refused = await runAs(bob, of);
    expect([3, 75]).toContain(refused.exitCode);
    expect(readFileSync(of.marker, "utf8")).toBe("1\n");
    expect(refused.stderr).toContain(of.weightsDir);
  });
});

/** One entry of an access control list, as the kernel has it: tag, permissions, id (linux/posix_acl_xattr.h). */
function entry(tag: number, permissions: number, id = 0xffffffff): number[] {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(tag, 0);
  bytes.writeUInt16LE(permissions, 2);
  bytes.writeUInt32LE(id >>> 0, 4);
  return [...bytes];
}

function setXattr(path: string, name: string, value: readonly number[]): void {
  const script = "import os, sys; os.setxattr(sys.argv[1], sys.argv[2], bytes(map(int, sys.argv[3].split())))";
  const { status, stderr } = spawnSync("python3", ["-c", script, path, name, value.join(" ")], { encoding: "utf8" });
  if (status !== 0) throw new Error(stderr);
}
