import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, trainlock } from "../support/trainlock.ts";

/** What may stand where a file is to be written: a rename would replace each of them. */
const kinds = [
  ["a device", ["mknod", "root"], (path: string) => execFileSync("mknod", [path, "c", "1", "3"])],
  ["a FIFO", ["mkfifo"], (path: string) => execFileSync("mkfifo", [path])],
  ["a folder", [], (path: string) => mkdirSync(path)],
  ["a link to a file", [], (path: string) => link(path)],
  ["a link to a device", [], (path: string) => symlinkSync("/dev/null", path)],
] as const;

function link(path: string): void {
  writeFileSync(`${path}.behind`, "");
  symlinkSync(`${path}.behind`, path);
}

describe.each([
  ["--status", (of: ReturnType<typeof configuration>) => join(of.root, "status.json"), (path: string) => path],
  ["--done-file", (of: ReturnType<typeof configuration>) => join(of.weightsDir, "done.json"), () => "done.json"],
] as const)("%s", (option, pathOf, named) => {
  for (const [what, needs, make] of kinds) {
    requiresPrograms(...needs)(`that names ${what} is refused before the start, and it stays what it is`, async () => {
      const of = configuration(await temporaryRoot());
      const path = pathOf(of);
      mkdirSync(dirname(path), { recursive: true });
      make(path);
      const before = lstatSync(path, { bigint: true });
      const started = join(of.root, "started");
      const { exitCode, stderr } = await trainlock(["run", ...of.args, option, named(path), "--", "touch", started]);
      expect({ exitCode, stderr }).toMatchObject({
        exitCode: 2,
        stderr: expect.stringContaining(`${option} writes regular files only, and ${path} is `),
      });
      expect(existsSync(started)).toBe(false);
      const after = lstatSync(path, { bigint: true });
      expect([after.ino, after.mode, after.rdev]).toEqual([before.ino, before.mode, before.rdev]);
    });
  }
});

test("--status replaces a file, and makes one where nothing is", async () => {
  const of = configuration(await temporaryRoot());
  const path = join(of.root, "status.json");
  for (const code of [3, 4]) {
    const run = ["run", ...of.args, "--status", path, "--", "sh", "-c", `exit ${code}`];
    expect(await trainlock(run)).toMatchObject({ exitCode: code });
    expect(JSON.parse(readFileSync(path, "utf8"))).toMatchObject({ exitCode: code });
  }
});

test.each([
  ["the lock file", (of: TestConfiguration) => of.kernelLock],
  ["a new file of the lock dir", (of: TestConfiguration) => join(of.lockDir, "status.json")],
  ["the marker", (of: TestConfiguration) => of.marker],
  ["the record beside it", (of: TestConfiguration) => of.markerRecord],
])("--status that names %s is refused before the start, and nothing is written", async (_, pathOf) => {
  const of = configuration(await temporaryRoot());
  await trainlock(["run", ...of.args, "--", "true"]);
  const path = pathOf(of);
  const before = existsSync(path) ? readFileSync(path, "utf8") : null;
  const started = join(of.root, "started");
  const { exitCode, stderr } = await trainlock(["run", ...of.args, "--status", path, "--", "touch", started]);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(path) });
  expect([existsSync(started), existsSync(path) ? readFileSync(path, "utf8") : null]).toEqual([false, before]);
});

requiresPrograms("mkfifo")("what the command puts there meanwhile stays, and its exit code counts", async () => {
  const of = configuration(await temporaryRoot());
  const path = join(of.root, "status.json");
  const run = ["run", ...of.args, "--status", path, "--", "sh", "-c", `mkfifo '${path}'; exit 5`];
  expect(await trainlock(run)).toMatchObject({ exitCode: 5, stderr: expect.stringContaining("regular files only") });
  expect(lstatSync(path).isFIFO()).toBe(true);
});

requiresPrograms("mkfifo")("a FIFO that somebody reads is refused as well: its reader gets nothing", async () => {
  const of = configuration(await temporaryRoot());
  const path = join(of.root, "fifo");
  execFileSync("mkfifo", [path]);
  const reader = startProcess("cat", [path], { env: environment() });
  expect(await trainlock(["run", ...of.args, "--status", path, "--", "true"])).toMatchObject({ exitCode: 2 });
  writeFileSync(path, "end\n");
  expect((await reader.finished).stdout).toBe("end\n");
});
