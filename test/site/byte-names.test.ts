import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";

let root: string;

beforeEach(async () => {
  root = await temporaryRoot();
});

const bytes = (...parts: (string | Buffer)[]) => Buffer.concat([`${root}/`, ...parts].map((part) => Buffer.from(part)));

/** A weights dir with a marker, by its bytes; returns the marker's path. */
function marker(pid: number | string, ...parts: (string | Buffer)[]): Buffer {
  const folder = bytes("WEIGHTS/", ...parts);
  mkdirSync(folder, { recursive: true });
  const path = Buffer.concat([folder, Buffer.from("/.training_lock")]);
  writeFileSync(path, `${pid}\n`);
  return path;
}

const latin1 = Buffer.from([0x67, 0xe9, 0x6e]);
const places: readonly (readonly [string, (string | Buffer)[], string])[] = [
  ["a strategy", [latin1, "/d_cd/m"], "g\\xe9n/d/m"],
  ["a dataset", ["s/", latin1, "_cd/m"], "s/g\\xe9n/m"],
  ["a model", ["s/d_cd/", latin1], "s/d/g\\xe9n"],
  ["all of them", [latin1, "/", latin1, "_cd/", Buffer.from([0xff, 0xfe])], "g\\xe9n/g\\xe9n/\\xff\\xfe"],
];

describe.each(places)("%s whose name is no UTF-8", (_, parts, name) => {
  test("is listed, escaped, with its bytes in JSON, and cleared by its bytes", async () => {
    const path = marker(4_194_303, ...parts);
    // Another that is decoded to the same text, and lives.
    const other = marker(
      process.pid,
      ...parts.map((part) => (typeof part === "string" ? part : Buffer.concat([part, Buffer.from([0xfd])]))),
    );
    const { stdout, stderr, exitCode } = await trainlock(["list", "--root", root]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toContain(`  - ${name} [STALE - PID not running]`);
    expect(stdout).toContain("Total locks: 2");
    const { locks } = JSON.parse((await trainlock(["list", "--root", root, "--json"])).stdout);
    const found = locks.find((lock: { name: string }) => lock.name === name);
    expect(Buffer.from(found.pathBytes, "base64")).toEqual(path);
    expect(found.path).not.toContain("\ufffd");
    const cleared = await trainlock(["clear", "--root", root, "--no-dry-run"]);
    expect(cleared).toMatchObject({ exitCode: 0, stderr: "", stdout: expect.stringContaining("Cleared 1 stale lock") });
    expect([existsSync(path), existsSync(other)]).toEqual([false, true]);
  });
});

test("names that are UTF-8 have no pathBytes, whatever letters they are of", async () => {
  marker(process.pid, "gén/d_cd/モデル");
  const { locks } = JSON.parse((await trainlock(["list", "--root", root, "--json"])).stdout);
  expect(locks).toHaveLength(1);
  expect(locks[0]).not.toHaveProperty("pathBytes");
});

test("a lock file whose name is no UTF-8 is named as one that was not looked at", async () => {
  mkdirSync(`${root}/training_locks`);
  writeFileSync(bytes("training_locks/", latin1, ".lock"), "");
  const { exitCode, stderr } = await trainlock(["list", "--root", root]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 3, stderr: expect.stringContaining("its name is not UTF-8") });
});

test("run for such a name is exit 2", async () => {
  const call = `exec "$0" run --root "$1" --strategy "$(printf 'g\\351n')" --dataset d --model m -- true`;
  const run = await finish("sh", ["-c", call, executable, root], { env: environment() });
  expect(run).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("is not valid UTF-8") });
});
