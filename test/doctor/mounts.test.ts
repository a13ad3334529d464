import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { scopeOutcome } from "../../src/doctor/probe-mount.ts";
import { parseMountInfo } from "../../src/system/files/mount-table.ts";
import { scopeOf } from "../../src/system/files/mounts.ts";

type Case = readonly [table: string, mountPoint: string, level: string, words: RegExp, means: RegExp | null];

const cases: readonly Case[] = [
  ["nfs", "/v3", "ok", /scope cluster; NFS asks the server/, null],
  ["nfs", "/v3-nolock", "warning", /scope host; NFS mounted with nolock/, /this host only/],
  ["nfs", "/v3-local-flock", "warning", /mounted with local_lock=flock/, /this host only/],
  ["nfs", "/v3-local-all", "warning", /mounted with local_lock=all/, /this host only/],
  ["nfs", "/v3-local-posix", "ok", /scope cluster/, null],
  ["nfs", "/v4", "ok", /scope cluster/, null],
  ["lustre", "/lustre/flock", "ok", /scope cluster; Lustre mounted with flock/, null],
  ["lustre", "/lustre/localflock", "warning", /scope host; Lustre mounted with localflock/, /this host only/],
  ["lustre", "/lustre/noflock", "warning", /scope none; Lustre mounted without/, /marker alone excludes/],
  ["cluster", "/gpfs/fs1", "warning", /scope unknown; GPFS/, /marker alone excludes/],
  ["cluster", "/beegfs", "warning", /scope unknown; BeeGFS/, /marker alone excludes/],
  ["cluster", "/ceph", "ok", /scope cluster; CephFS/, null],
  ["cluster", "/gluster", "ok", /scope cluster; GlusterFS/, null],
  ["cluster", "/cifs", "warning", /scope unknown; CIFS makes flock mandatory/, /marker alone/],
  ["cluster", "/sshfs", "warning", /scope unknown; nothing is known about flock on fuse.sshfs/, /marker alone/],
  ["container", "/", "ok", /overlay.*scope host/, null],
  ["container", "/train", "ok", /ext4.*scope host/, null],
  ["autofs", "/data", "ok", /lustre.*scope cluster/, null],
  ["local", "/dev/shm", "ok", /tmpfs.*scope host/, null],
  ["local", "/projects", "ok", /ext4 at \/projects.*scope host/, null],
];

test.each(cases)("in %s.txt %s is %s", (table, mountPoint, level, words, means) => {
  const entries = parseMountInfo(readFileSync(`test/fixtures/mounts/${table}.txt`, "utf8"));
  const entry = entries.findLast((candidate) => candidate.mountPoint === mountPoint);
  if (entry === undefined) throw new Error(`no mount at ${mountPoint}`);
  const outcome = scopeOutcome({ ...entry, ...scopeOf(entry), ownToContainer: false });
  expect(outcome.level).toBe(level);
  expect(outcome.found).toMatch(words);
  if (means === null) expect(outcome.means).toBeNull();
  else expect(outcome.means).toMatch(means);
});
