import { mkdirSync, readFileSync, realpathSync, statSync, symlinkSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { deviceText, findMount, parseMountInfo } from "../../src/system/files/mount-table.ts";
import { type MountScope, mountOf, scopeOf } from "../../src/system/files/mounts.ts";
import { thisHost } from "../../src/system/processes/this-host.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const fixture = (name: string) => parseMountInfo(readFileSync(`test/fixtures/mounts/${name}.txt`, "utf8"));

type Reach = readonly [mountPoint: string, lockScope: MountScope["lockScope"], shared: MountScope["shared"]];

const reaches: Record<string, readonly Reach[]> = {
  nfs: [
    ["/v3", "cluster", true],
    ["/v3-nolock", "host", true],
    ["/v3-local-flock", "host", true],
    ["/v3-local-all", "host", true],
    ["/v3-local-posix", "cluster", true],
    ["/v4", "cluster", true],
    ["/v4-local-flock", "host", true],
    ["/v4-nolock", "host", true],
  ],
  lustre: [
    ["/lustre/flock", "cluster", true],
    ["/lustre/localflock", "host", true],
    ["/lustre/without", "none", true],
    ["/lustre/noflock", "none", true],
  ],
  cluster: [
    ["/gpfs/fs1", "unknown", true],
    ["/beegfs", "unknown", true],
    ["/ceph", "cluster", true],
    ["/ceph-fuse", "cluster", true],
    ["/ceph-old", "cluster", true],
    ["/gluster", "cluster", true],
    ["/cifs", "unknown", true],
    ["/smb", "unknown", true],
    ["/sshfs", "unknown", null],
    ["/virtio", "unknown", null],
    ["/plan9", "unknown", null],
    ["/panfs", "unknown", null],
  ],
  local: [
    ["/", "host", false],
    ["/dev/shm", "host", false],
    ["/srv", "host", false],
    ["/pool", "host", false],
    ["/tank", "host", false],
    ["/hidden", "host", false],
    ["/layers", "host", false],
    ["/media/usb stick", "host", false],
    ["/odd\\name\ttab", "cluster", true],
  ],
  container: [
    ["/", "host", false],
    ["/train", "host", false],
  ],
};

describe.each(Object.entries(reaches))("how far flock reaches on mounts of %s.txt", (name, expected) => {
  test.each(expected)("%s: %s", (mountPoint, lockScope, shared) => {
    const entry = fixture(name).findLast((candidate) => candidate.mountPoint === mountPoint);
    if (entry === undefined) throw new Error(`no mount at ${mountPoint}`);
    const scope = scopeOf(entry);
    expect(scope).toMatchObject({ lockScope, shared });
    expect(scope.why).toMatch(/^\S[^\n]+[^.\n]$/);
  });
});

test("a container's own root is its own, volumes are not", () => {
  const table = fixture("container");
  const own = thisHost().pidNamespace !== null && !thisHost().inInitialPidNamespace;
  expect(mountOf("/no-such-folder/x", table).ownToContainer).toBe(own);
  expect(mountOf("/handed-in/x", table)).toMatchObject({ fileSystem: "overlay", ownToContainer: false });
  expect(mountOf("/train/x", table)).toMatchObject({ mountId: 1204, ownToContainer: false });
});

test("finds the mount of a path that exists, that does not yet, and that is a symlink", async () => {
  const root = await temporaryRoot();
  mkdirSync(join(root, "real"));
  symlinkSync(join(root, "real"), join(root, "link"));
  const facts = mountOf(root);
  const device = deviceText(statSync(root, { bigint: true }).dev);
  const table = parseMountInfo(readFileSync("/proc/self/mountinfo", "utf8"));
  expect(facts.mountId).toBe(findMount(table, realpathSync(root), device)?.mountId);
  expect(mountOf(join(root, "link", "a", "b"))).toEqual(facts);
  expect(mountOf("/proc/self/status")).toMatchObject({ fileSystem: "proc", mountPoint: "/proc" });
});

test("says so when the table knows nothing", () => {
  expect(mountOf("/", [])).toMatchObject({ fileSystem: "unknown", lockScope: "unknown", shared: null });
});

requiresPrograms("root")("sees through mounts over mounts, binds and layers", async () => {
  const root = await temporaryRoot();
  const mounts = [
    'cd "$0" && mount -t tmpfs base . && cd "$0"',
    "mkdir -p over/below bind lower upper work layers && touch lower/file && touch file",
    "mount -t tmpfs early over/below && mount -t tmpfs late over && mkdir over/below",
    "mount --bind upper bind && mount --bind lower/file file",
    "mount -t overlay -o lowerdir=$0/lower,upperdir=$0/upper,workdir=$0/work layers layers",
    'cd "$1" && exec "$2" -e "$3" "$0"',
  ];
  const program = `
    import { mountOf } from "./src/system/files/mounts.ts";
    const root = process.argv.at(-1);
    const places = ["over/below/x", "bind/x", "file", "layers/file", "layers/new", "plain"];
    console.log(JSON.stringify(places.map((place) => mountOf(root + "/" + place).mountPoint.slice(root.length))));`;
  const bun = resolve("node_modules/.bin/bun");
  const args = ["--mount", "sh", "-c", mounts.join(" && "), root, process.cwd(), bun, program];
  const { stdout, stderr } = await finish("unshare", args);
  expect(stdout, stderr).toBe(`${JSON.stringify(["/over", "/bind", "/file", "/layers", "/layers", ""])}\n`);
});

describe("an overlay", () => {
  const line = (id: number, mountPoint: string, fileSystem: string, options: string) =>
    `${id} 1 0:${id} / ${mountPoint} rw,relatime - ${fileSystem} ${fileSystem} ${options}`;
  const others = [
    line(20, "/", "ext4", "rw"),
    line(21, "/nfs", "nfs4", "rw,vers=4.2,local_lock=none"),
    line(22, "/image", "squashfs", "ro"),
    line(23, "/mnt/s", "fuse.sshfs", "rw"),
  ];
  const scope = (options: string) =>
    mountOf("/over/x", parseMountInfo([...others, line(30, "/over", "overlay", options)].join("\n")));

  test.each([
    ["lowerdir=/nfs/data,upperdir=/up,workdir=/work", "nfs4 at /nfs"],
    ["lowerdir=/image:/nfs,upperdir=/up,workdir=/work", "nfs4 at /nfs"],
    ["lowerdir+=/image,lowerdir+=/mnt/s/a,upperdir=/up,workdir=/work", "fuse.sshfs at /mnt/s"],
    ["lowerdir=/image,upperdir=/nfs/up,workdir=/nfs/work", "nfs4 at /nfs"],
  ])("with a layer that other hosts write is theirs, too: %s", (options, what) => {
    expect(scope(options)).toMatchObject({ lockScope: "host", shared: true, why: expect.stringContaining(what) });
  });

  test.each([
    "lowerdir=/image,upperdir=/up,workdir=/work",
    "lowerdir=/var/lib/docker/overlay2/l/A:/var/lib/docker/overlay2/l/B,upperdir=/up,workdir=/work",
    "lowerdir=/over/below,upperdir=/up,workdir=/work",
    "lowerdir=layers,upperdir=up,workdir=work",
    "",
  ])("of this host's own layers is this host's: %s", (options) => {
    expect(scope(options)).toMatchObject({ lockScope: "host", shared: false });
  });
});
