import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { asNobody } from "../e2e/nobody.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

let root: string;
let outside: string;

beforeEach(async () => {
  root = await temporaryRoot();
  outside = await temporaryRoot();
});

function marker(...parts: string[]): void {
  const path = join(...parts, ".training_lock");
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, `${process.pid}\n`);
}

function link(to: string, ...parts: string[]): string {
  const path = join(root, ...parts);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(to, path);
  return path;
}

describe("a link where a folder of a configuration belongs", () => {
  const places = [
    ["a strategy", ["WEIGHTS", "s"], ["d_cd", "m"]],
    ["a dataset", ["WEIGHTS", "s", "d_cd"], ["m"]],
    ["a weights dir", ["WEIGHTS", "s", "d_cd", "m"], []],
  ] as const;

  test.each(places)(
    "for %s is named by list, clear and plan, which do not say that there is nothing",
    async (_, at, behind) => {
      marker(outside, ...behind);
      const path = link(outside, ...at);
      const said = { exitCode: 0, stderr: expect.stringContaining(`${path} is a link, and is not followed`) };
      const found = (what: string) => `Found no ${what} in what could be read; 1 link was not followed\n`;
      expect(await trainlock(["list", "--root", root])).toMatchObject({ ...said, stdout: found("lock") });
      expect(await trainlock(["list", "--root", root, "--short"])).toMatchObject({ ...said, stdout: found("lock") });
      expect(await trainlock(["clear", "--root", root])).toMatchObject({ ...said, stdout: found("stale lock") });
      expect(await trainlock(["plan", "--root", root])).toMatchObject(said);
      const json = await trainlock(["list", "--root", root, "--json"]);
      expect(JSON.parse(json.stdout)).toEqual({ total: 0, locks: [], links: [path] });
      const doctor = await trainlock(["doctor", "--root", root]);
      expect(doctor.stdout).toContain(path);
    },
  );

  test("is named beside locks that were found, and where it leads nowhere; one to a file is none", async () => {
    marker(root, "WEIGHTS", "s", "d_cd", "m");
    const nowhere = link(join(outside, "gone"), "WEIGHTS", "s", "d_cd", "n");
    writeFileSync(join(outside, "file"), "");
    const file = link(join(outside, "file"), "WEIGHTS", "s", "README");
    const { stdout, stderr, exitCode } = await trainlock(["list", "--root", root]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: expect.stringContaining(nowhere) });
    expect(stderr).not.toContain(file);
    expect(stdout).toContain("Total locks: 1");
  });

  test("is named where a template has a folder of a known name, and not where no template leads", async () => {
    writeFileSync(
      join(root, "trainlock.yaml"),
      'weights:\n  - "W/{strategy}/{dataset}/{model}{ratio}{aux_loss}/work"\n',
    );
    marker(outside);
    mkdirSync(join(root, "W", "s", "d", "m"), { recursive: true });
    const known = link(outside, "W", "s", "d", "m", "work");
    const other = link(outside, "W", "s", "d", "m", "other");
    const { stderr } = await trainlock(["list", "--root", root]);
    expect(stderr).toContain(known);
    expect(stderr).not.toContain(other);
  });
});

requiresPrograms("root", "setpriv")("folders that cannot be read: no command says that there is nothing", async () => {
  chmodSync(root, 0o755);
  for (const name of ["a", "b"]) {
    marker(root, "WEIGHTS", name, "d_cd", "m");
    chmodSync(join(root, "WEIGHTS", name), 0o700);
  }
  const call = await asNobody();
  const found = (what: string) => `Found no ${what} in what could be read; 2 folders were not\n`;
  expect(await call(["list", "--root", root])).toMatchObject({ exitCode: 3, stdout: found("lock") });
  expect(await call(["clear", "--root", root])).toMatchObject({ exitCode: 3, stdout: found("stale lock") });
  const json = JSON.parse((await call(["list", "--root", root, "--json"])).stdout);
  expect(json.unreadable).toHaveLength(2);
});
