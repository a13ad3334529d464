import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { deviceText, findMount, parseMountInfo } from "../../src/system/files/mount-table.ts";

const fixture = (name: string) => parseMountInfo(readFileSync(`test/fixtures/mounts/${name}.txt`, "utf8"));
const entryAt = (name: string, mountPoint: string) =>
  fixture(name).find((candidate) => candidate.mountPoint === mountPoint);

test("reads every line of a table, and leaves out what is none", () => {
  expect(fixture("local")).toHaveLength(16);
  expect(parseMountInfo("")).toEqual([]);
  expect(parseMountInfo("1 2 - x\n- - -\n 1 2 3")).toEqual([]);
});

test("reads all fields, whatever number of optional ones", () => {
  expect(entryAt("local", "/media/usb stick")).toEqual({
    mountId: 510,
    device: "8:65",
    root: "/",
    mountPoint: "/media/usb stick",
    options: ["rw", "relatime", "fmask=0022"],
    fileSystem: "vfat",
    source: "/dev/sdf1",
  });
  expect(entryAt("local", "/odd\\name\ttab")?.source).toBe("filer:/a b");
  expect(entryAt("local", "/projects")?.root).toBe("/projects/train");
});

type Finding = readonly [table: string, path: string, device: string | null, mountId: number];

test.each<Finding>([
  ["local", "/home/alice", "8:3", 27],
  ["local", "/projects/run1", "8:17", 503],
  // A name that only begins like a mount point.
  ["local", "/project", "8:3", 27],
  ["local", "/projects", null, 503],
  ["local", "/media/usb stick/x", "8:65", 510],
  // Two on one mount point: the later covers the earlier.
  ["local", "/over/x", "8:33", 507],
  ["local", "/over/x", null, 507],
  // A later mount on the folder above covers the longer mount point.
  ["local", "/hidden/below/x", "8:49", 509],
  // A btrfs subvolume has a device of its own.
  ["local", "/pool/sub/x", "0:77", 504],
  ["container", "/train/x", "8:3", 1204],
  ["container", "/tmp/x", "0:301", 1201],
  ["container", "/etc/hosts", "8:3", 1206],
  ["autofs", "/home/alice/x", "0:61", 402],
  ["autofs", "/data/x", "0:63", 404],
  ["autofs", "/data", null, 404],
  // Nothing is mounted over the trap: it is not where files lie.
  ["autofs", "/pending/x", "0:64", 27],
])("in %s.txt %s on device %s lies on mount %i", (table, path, device, mountId) => {
  expect(findMount(fixture(table), path, device)?.mountId).toBe(mountId);
});

test("writes a device as the table does", () => {
  expect(deviceText(0xfe00n)).toBe("254:0");
  expect(deviceText(0x0000_1000_abc2_34den)).toBe(`${0x1234}:${0xabcde}`);
});
