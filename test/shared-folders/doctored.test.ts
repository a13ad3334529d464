import { chmodSync, chownSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { executable, run } from "../support/trainlock.ts";
import { alice, as, bob, group, sharedRoot } from "./users.ts";

const withUsers = requiresPrograms("setpriv as root");

const runAs = (user: number, root: string) =>
  run([...as(user), executable, "run", ...configuration(root).args, "--", "true"]);

async function doctored(user: number, root: string) {
  const { exitCode, stdout } = await run([...as(user), executable, "doctor", "--root", root, "--json"]);
  const { findings } = JSON.parse(stdout);
  const found: { check: string; level: string; found: string; subject: string }[] = findings;
  const bad = found.filter(({ level }) => level !== "ok");
  const of = (check: string) => bad.filter((finding) => finding.check === check);
  return { exitCode, group: of("group"), folder: of("folder"), link: of("link") };
}

function siteFile(root: string, text: string): void {
  const file = join(root, "trainlock.yaml");
  writeFileSync(file, text);
  chownSync(file, alice, group);
  chmodSync(file, 0o644);
}

withUsers("a group that the user is not in: said, and everything else is as if it were not named", async () => {
  const foreign = 64_999;
  for (const mode of ["", "mode: 0660\n"]) {
    const root = sharedRoot(0o2775);
    const of = configuration(root);
    siteFile(root, `group: ${foreign}\n${mode}`);
    const first = await runAs(alice, root);
    expect(first).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/group: 64999.* is not in that group/) });
    const made = [of.lockDir, of.kernelLock].map((path) => {
      const stats = statSync(path);
      return [stats.gid, (stats.mode & 0o7777).toString(8)];
    });
    expect(made).toEqual(
      mode === ""
        ? [
            [group, "2775"],
            [group, "664"],
          ]
        : [
            [group, "2770"],
            [group, "660"],
          ],
    );
    expect(await runAs(bob, root)).toMatchObject({ exitCode: 0 });
    const { exitCode, group: found } = await doctored(alice, root);
    expect(exitCode).toBe(1);
    expect(found[0]).toMatchObject({ level: "fault", found: expect.stringContaining("64999") });
  }
});

withUsers("folders and files that keep colleagues out are found, by whoever looks", async () => {
  const root = sharedRoot(0o755);
  expect(await runAs(alice, root)).toMatchObject({ exitCode: 0 });
  expect(await doctored(alice, root)).toMatchObject({
    exitCode: 0,
    group: [{ level: "warning" }, { level: "warning" }],
  });
  siteFile(root, "mode: 0664\n");
  expect(await doctored(alice, root)).toMatchObject({ exitCode: 1, group: [{ level: "fault" }, { level: "fault" }] });

  const shared = sharedRoot(0o2775);
  const of = configuration(shared);
  expect(await runAs(alice, shared)).toMatchObject({ exitCode: 0 });
  expect(await doctored(alice, shared)).toMatchObject({ exitCode: 0, group: [] });
  chmodSync(of.kernelLock, 0o644);
  const forBob = await doctored(bob, shared);
  expect(forBob).toMatchObject({ exitCode: 1, group: [{ level: "fault" }] });
  expect(forBob.group[0]?.found).toMatch(/which does not let its group write/);
  expect(await doctored(alice, shared)).toMatchObject({ exitCode: 0, group: [{ level: "warning" }] });
});

withUsers("a folder of another that cannot be looked into is a fault: list exits 3", async () => {
  const root = sharedRoot(0o2775);
  const of = configuration(root);
  for (const path of [of.weightsDir, join(of.weightsDir, "..")]) {
    expect(await runAs(bob, root)).toMatchObject({ exitCode: 0 });
    chmodSync(path, 0o2700);
    const { exitCode, folder } = await doctored(alice, root);
    expect(exitCode).toBe(1);
    expect(folder).toMatchObject([{ level: "fault", subject: path }]);
    expect(await run([...as(alice), executable, "list", "--root", root])).toMatchObject({ exitCode: 3 });
    chmodSync(path, 0o2775);
  }
});

withUsers("an allowed link into a folder that this user cannot write is a fault", async () => {
  const root = sharedRoot(0o2775);
  const of = configuration(root);
  const scratch = sharedRoot(0o755);
  siteFile(root, `links: [${scratch}]\n`);
  mkdirSync(join(of.weightsDir, ".."), { recursive: true });
  const target = join(scratch, "m");
  mkdirSync(target);
  chownSync(target, alice, group);
  symlinkSync(target, of.weightsDir);
  expect((await doctored(bob, root)).link).toMatchObject([{ level: "fault", subject: of.weightsDir }]);
  expect((await doctored(alice, root)).link).toEqual([]);
});
