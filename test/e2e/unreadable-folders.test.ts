import { execFile } from "node:child_process";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { describe, expect } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { asNobody } from "./nobody.ts";

// Root may read everything, so these are called as somebody else, who only root can become.
const test = requiresPrograms("root", "setpriv");
const train = ["--", "echo", "trained"];

describe("as a user without the permission", () => {
  test("a closed root: exit code 3 from every command, naming it", async () => {
    const of = configuration(await temporaryRoot());
    await chmod(of.root, 0o000);
    const call = await asNobody();
    for (const args of [
      ["list", "--root", of.root],
      ["clear", "--root", of.root],
      ["check", ...of.args],
      ["run", ...of.args, ...train],
    ]) {
      expect(await call(args)).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(of.root) });
    }
  });

  test("a closed folder among others: list shows the others, and names it on stderr", async () => {
    const root = await temporaryRoot();
    await chmod(root, 0o755);
    const open = configuration(root, "open");
    const closed = configuration(root, "closed");
    await writeMarker(open, `${process.pid}\n`);
    await writeMarker(closed, `${process.pid}\n`);
    const folder = dirname(dirname(closed.weightsDir));
    await chmod(folder, 0o700);
    const call = await asNobody();
    const list = await call(["list", "--root", root]);
    expect(list.stdout).toContain(open.marker);
    expect(list.stdout).not.toContain(closed.marker);
    expect(list.stderr).toContain(folder);
    expect(list.stderr).toMatch(/EACCES|permission denied/i);
  });

  test("a closed weights dir: neither check nor run takes it for free, and both name it", async () => {
    const of = configuration(await temporaryRoot());
    await chmod(of.root, 0o777);
    await mkdir(of.weightsDir, { recursive: true });
    await chmod(of.weightsDir, 0o700);
    const call = await asNobody();
    const check = await call(["check", ...of.args]);
    expect([1, 3]).toContain(check.exitCode);
    expect(check).toMatchObject({ stdout: "", stderr: expect.stringContaining(of.weightsDir) });
    const run = await call(["run", ...of.args, ...train]);
    expect(run).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(of.weightsDir) });
  });

  test("a closed folder in a weights dir: a pattern that leads into it finds nothing, and nobody takes that for free", async () => {
    const of = configuration(await temporaryRoot());
    await mkdir(join(of.weightsDir, "work_dir"), { recursive: true });
    await writeFile(join(of.weightsDir, "work_dir", "iter_1.pth"), Buffer.alloc(1024));
    const call = await asNobody();
    await promisify(execFile)("chmod", ["-R", "a+rwX", of.root]);
    await chmod(join(of.weightsDir, "work_dir"), 0o700);
    const [, , ...fields] = of.args;
    for (const pattern of ["**/*.pth", "*/*.pth", "{work_dir,runs}/iter_1.pth", "work_dir/iter_1.pth"]) {
      const rule = ["--done-when", pattern];
      const closed = { exitCode: 3, stderr: expect.stringContaining(join(of.weightsDir, "work_dir")) };
      expect(await call(["check", ...of.args, ...rule])).toMatchObject({ ...closed, stdout: "" });
      expect(await call(["run", ...of.args, ...rule, ...train])).toMatchObject({ ...closed, stdout: "" });
      const plan = await call(["plan", "--root", of.root, ...fields, ...rule]);
      expect(plan.stdout).toMatch(/^unknown .*work_dir/);
    }
    expect(await call(["check", ...of.args, "--done-when", "{iter_1,iter_2}.pth"])).toMatchObject({ exitCode: 0 });
  });

  test("a weights dir that may not be written: run says so, exit code 3", async () => {
    const of = configuration(await temporaryRoot());
    await chmod(of.root, 0o777);
    await mkdir(of.weightsDir, { recursive: true });
    const call = await asNobody();
    const run = await call(["run", ...of.args, ...train]);
    expect(run).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(of.weightsDir) });
  });

  test("a lock dir that may not be written: run says so, exit code 3", async () => {
    const of = configuration(await temporaryRoot());
    await chmod(of.root, 0o777);
    await mkdir(of.lockDir);
    const call = await asNobody();
    const run = await call(["run", ...of.args, ...train]);
    expect(run).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(of.lockDir) });
  });

  test("a marker that may not be read: locked", async () => {
    const of = configuration(await temporaryRoot());
    await chmod(of.root, 0o777);
    await writeMarker(of, `${process.pid}\n`);
    await chmod(of.marker, 0o600);
    await chmod(of.weightsDir, 0o777);
    const call = await asNobody();
    expect(await call(["check", ...of.args])).toMatchObject({ exitCode: 1, stdout: "" });
    expect(await call(["run", ...of.args, ...train])).toMatchObject({ exitCode: 75, stdout: "" });
  });
});
