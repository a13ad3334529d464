import { closeSync, existsSync, openSync, readdirSync, writeSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect } from "vitest";
import { removeUnusedLockFile } from "../../src/stores/folder/unused-lock-file.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("bash");

let root: string;
let path: string;

beforeEach(async () => {
  root = await temporaryRoot();
  path = join(root, "s_d_m.lock");
});

describe("a lock file that nothing could be written to", () => {
  test("is removed by the process that has made it", () => {
    const fd = openSync(path, "wx+");
    removeUnusedLockFile(path, fd);
    closeSync(fd);
    expect(readdirSync(root)).toEqual([]);
  });

  test("stays where an old job has it open: it would lock a file without a name", async () => {
    const fd = openSync(path, "wx+");
    const job = startProcess("bash", ["-c", `exec 200>"$1"; touch "$1.open"; read -r`, "bash", path]);
    await until("the job has it open", () => (existsSync(`${path}.open`) ? true : null));
    removeUnusedLockFile(path, fd);
    expect(existsSync(path)).toBe(true);
    job.kill("SIGKILL");
    await job.finished;
    removeUnusedLockFile(path, fd);
    closeSync(fd);
    expect(readdirSync(root)).toEqual(["s_d_m.lock.open"]);
  });

  test("stays once it holds something, or another file has its name", () => {
    const fd = openSync(path, "wx+");
    writeSync(fd, "{}");
    removeUnusedLockFile(path, fd);
    closeSync(fd);
    const other = openSync(join(root, "other"), "wx+");
    removeUnusedLockFile(path, other);
    closeSync(other);
    expect(readdirSync(root).sort()).toEqual(["other", "s_d_m.lock"]);
  });
});
