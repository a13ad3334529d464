import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { isExported, parseExports } from "../../src/system/files/exports.ts";
import { findMount, parseMountInfo } from "../../src/system/files/mount-table.ts";

const table = parseMountInfo(readFileSync("test/fixtures/mounts/local.txt", "utf8"));
/** As exportfs 2.6.2 writes a line. */
const line = (path: string, options = "rw,sync,wdelay,hide,nocrossmnt") =>
  `${path}\t10.0.0.0/8(${options},secure,root_squash,no_all_squash,no_subtree_check,secure_locks,acl,no_pnfs,anonuid=65534,anongid=65534,sec=sys,${options.slice(0, 2)},secure)\n`;

function clientsWriteTo(path: string, exported: string): boolean {
  const entry = findMount(table, path, null);
  if (entry === null) throw new Error(`nothing is mounted at ${path}`);
  return isExported(path, entry, table, parseExports(exported));
}

test.each([
  ["the folder itself", "/srv", "/srv", true],
  ["a folder below it", "/srv/data", "/srv/data/WEIGHTS/a", true],
  ["a folder beside it", "/srv/data", "/srv/data2/WEIGHTS", false],
  ["a folder above it", "/srv/data", "/srv", false],
  ["another path to it, by a bind mount", "/srv/projects/train", "/projects/a", true],
  ["a bind mount of it", "/projects", "/srv/projects/train/a", true],
  ["what a bind mount of it leaves out", "/projects", "/srv/projects/other", false],
  ["another file system that is mounted below it", "/", "/srv/data", false],
  ["a path with a space", "/media/usb\\040stick", "/media/usb stick/a", true],
])("NFS clients write to %s", (_, exported, path, expected) => {
  expect(clientsWriteTo(path, line(exported))).toBe(expected);
});

test("file systems below an export belong to it where it crosses mounts", () => {
  expect(clientsWriteTo("/srv/data", line("/", "rw,sync,wdelay,hide,crossmnt"))).toBe(true);
});

test("what clients may only read, nobody else writes", () => {
  expect(clientsWriteTo("/srv", line("/srv", "ro,sync,wdelay,hide,nocrossmnt"))).toBe(false);
  expect(clientsWriteTo("/srv", line("/srv", "ro,sync,wdelay,hide,nocrossmnt") + line("/srv"))).toBe(true);
});

test.each(["", "\n", "# nothing\n", "/srv\n", "/srv *\n", "/srv\t*()\n"])("no export is read from %j", (text) => {
  expect(parseExports(text)).toEqual([]);
});
