import { execFileSync, spawnSync } from "node:child_process";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { alice, as, bob, group, sharedRoot } from "../shared-folders/users.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { run } from "../support/trainlock.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "trainlock-release-"));
const release = join(scratch, "release");

afterAll(() => rmSync(scratch, { recursive: true, force: true }));
beforeAll(() => {
  key(release);
  const script = join(project, "packaging", "release.mjs");
  const signed = ["--sign", `${release}.key`];
  execFileSync("node", [script, "--arch", process.arch, "--no-xz", "--no-npm", "--out", release, ...signed]);
}, 180_000);

function key(name: string): void {
  execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "nobody@example.org", "-f", `${name}.key`]);
}

function install(from: string, ...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync("sh", [join(from, "install.sh"), ...args], { encoding: "utf8" });
  return { exitCode: status, stdout, stderr };
}

/** The release with another version in it, as a later one would be: an executable that only knows its version. */
function laterRelease(folder: string, version: string): string {
  mkdirSync(folder);
  for (const name of ["install.sh", "share.tar.gz"]) copyFileSync(join(release, name), join(folder, name));
  const name = `trainlock-linux-${process.arch}`;
  writeFileSync(join(folder, name), `#!/bin/sh\necho 'trainlock ${version} (commit none, 2030-01-01)'\n`);
  const sums = execFileSync("sha256sum", [name, "share.tar.gz", "install.sh"], { cwd: folder, encoding: "utf8" });
  writeFileSync(join(folder, "SHA256SUMS"), sums);
  return folder;
}

const versionOf = (executable: string) => execFileSync(executable, ["--version"], { encoding: "utf8" }).split(" ")[1];
const ownVersion = JSON.parse(readFileSync(join(project, "package.json"), "utf8")).version;

describe("an installed release", () => {
  test("has the executable, its manual pages, completions and a module; uninstalled, nothing is left", async () => {
    const prefix = join(await temporaryRoot(), "with a blank");
    expect(install(release, "--prefix", prefix)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(versionOf(join(prefix, "bin/trainlock"))).toBe(ownVersion);
    const root = await temporaryRoot();
    const of = ["--strategy", "s", "--dataset", "d", "--model", "m", "--root", root];
    expect(spawnSync(join(prefix, "bin/trainlock"), ["run", ...of, "--", "true"]).status).toBe(0);
    const page = readFileSync(join(prefix, "share/man/man1/trainlock-run.1"), "utf8");
    expect(page).toContain(".SH SYNOPSIS");
    expect(page).toContain("\\-\\-on\\-locked");
    for (const file of [
      "share/bash-completion/completions/trainlock",
      "share/zsh/site-functions/_trainlock",
      "share/fish/vendor_completions.d/trainlock.fish",
      `share/modulefiles/trainlock/${ownVersion}`,
    ])
      expect(readFileSync(join(prefix, file), "utf8")).toContain("trainlock");
    expect(install(release, "--uninstall", "--prefix", prefix)).toMatchObject({ exitCode: 0 });
    expect(readdirSync(prefix)).toEqual([]);
  });

  test("goes on for a running job while a later version is installed, and both versions stay", async () => {
    const prefix = await temporaryRoot();
    install(release, "--prefix", prefix);
    const root = await temporaryRoot();
    const executable = join(prefix, "bin/trainlock");
    const of = ["--strategy", "s", "--dataset", "d", "--model", "m", "--root", root];
    const job = startProcess(executable, ["run", ...of, "--", "sh", "-c", "echo started; cat"]);
    await job.waitFor("started");
    const later = laterRelease(join(scratch, "later"), "99.1.0");
    expect(install(later, "--prefix", prefix)).toMatchObject({ exitCode: 0 });
    expect(versionOf(executable)).toBe("99.1.0");
    const before = join(prefix, "lib/trainlock", ownVersion, "bin/trainlock");
    expect(spawnSync(before, ["check", ...of]).status).toBe(1);
    job.closeInput();
    expect(await job.finished).toMatchObject({ exitCode: 0 });
    // Back again, and over itself: the same version may be installed twice.
    for (const _ of [1, 2]) expect(install(release, "--prefix", prefix)).toMatchObject({ exitCode: 0 });
    expect(versionOf(executable)).toBe(ownVersion);
    expect(readlinkSync(executable)).toBe(`../lib/trainlock/${ownVersion}/bin/trainlock`);
    expect(readdirSync(join(prefix, "lib/trainlock")).sort()).toEqual([ownVersion, "99.1.0"].sort());
  });

  test("is refused where a file is not the one that was released, and what was there stays", async () => {
    const prefix = await temporaryRoot();
    const bad = laterRelease(join(scratch, "bad"), "99.2.0");
    writeFileSync(join(bad, `trainlock-linux-${process.arch}`), "#!/bin/sh\necho 'trainlock 99.3.0'\n");
    const refused = install(bad, "--prefix", prefix);
    expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
    expect(refused.stderr).toContain("its checksum is another");
    expect(existsSync(join(prefix, "bin"))).toBe(false);
    expect(install(release, "--nonsense")).toMatchObject({ exitCode: 1 });
  });

  requiresPrograms("root")("belongs to the group that is named, which may replace it", async () => {
    const prefix = await temporaryRoot();
    expect(install(release, "--prefix", prefix, "--group", "users")).toMatchObject({ exitCode: 0 });
    const modes = execFileSync("stat", ["-L", "-c", "%G %A", join(prefix, "bin"), join(prefix, "bin/trainlock")], {
      encoding: "utf8",
    });
    expect(modes).toBe("users drwxrwsr-x\nusers -rwxrwxr-x\n");
    expect(install(release, "--prefix", prefix, "--group", "no-such-group")).toMatchObject({ exitCode: 1 });
  });

  describe("of a group", () => {
    const withUsers = requiresPrograms("setpriv as root");
    const [ann, eve] = [alice, 64_103];

    /** A release, installed by a user with the umask of the user. */
    function installAs(user: number, umask: string, version: string, ...args: readonly string[]) {
      chmodSync(scratch, 0o755);
      const from = join(scratch, version);
      if (!existsSync(from)) execFileSync("chmod", ["-R", "a+rX", laterRelease(from, version)]);
      const command = [...as(user, { umask }), "env", "HOME=/nonexistent", "sh", join(from, "install.sh"), ...args];
      return run(command);
    }
    const versionFor = async (user: number, prefix: string) =>
      (await run([...as(user), join(prefix, "bin/trainlock"), "--version"])).stdout.split(" ")[1];
    const everythingIn = (folder: string) => readdirSync(folder, { recursive: true }).sort();

    withUsers("each of it may install, upgrade, go back and remove, whatever the umask", async () => {
      for (const umask of ["022", "077"]) {
        const prefix = sharedRoot(0o2775, ann);
        const of = ["--prefix", prefix, "--group", String(group)];
        for (const [user, version] of [
          [ann, "98.0.0"],
          [bob, "98.1.0"],
          [bob, "98.0.0"],
          [ann, "98.1.0"],
        ] as const) {
          expect(await installAs(user, umask, version, ...of)).toMatchObject({ exitCode: 0, stderr: "" });
          for (const each of [ann, bob, eve]) expect(await versionFor(each, prefix)).toBe(version);
        }
        expect(await installAs(bob, umask, "98.0.0", "--uninstall", "--prefix", prefix)).toMatchObject({ exitCode: 0 });
        expect(everythingIn(prefix)).toEqual([]);
      }
    });

    withUsers("who may not change all of it changes nothing", async () => {
      const prefix = sharedRoot(0o2775, ann);
      expect(await installAs(ann, "077", "98.0.0", "--prefix", prefix)).toMatchObject({ exitCode: 0 });
      expect(await versionFor(eve, prefix)).toBe("98.0.0");
      const before = everythingIn(prefix);
      for (const args of [[], ["--group", String(group)], ["--uninstall"]]) {
        const refused = await installAs(bob, "022", "98.1.0", "--prefix", prefix, ...args);
        expect(refused).toMatchObject({ exitCode: 1, stdout: "" });
        expect(refused.stderr).toMatch(/cannot be (written|made)/);
        expect(everythingIn(prefix)).toEqual(before);
      }
      expect(await versionFor(bob, prefix)).toBe("98.0.0");
    });

    withUsers("a folder on the way that keeps others out is named", async () => {
      const above = sharedRoot(0o700, ann);
      const { exitCode, stdout } = await installAs(ann, "022", "98.0.0", "--prefix", join(above, "tools"));
      expect(exitCode).toBe(0);
      expect(stdout).toContain(`others cannot run it: ${above} has drwx------`);
    });
  });

  test("is signed with the key that was given: another text, or another key, is refused", () => {
    const verify = (signer: string, sums: Buffer) => {
      const allowed = `${release}.allowed`;
      writeFileSync(allowed, `trainlock ${readFileSync(`${signer}.key.pub`, "utf8")}`);
      const signature = join(release, "SHA256SUMS.sig");
      const args = ["-Y", "verify", "-f", allowed, "-I", "trainlock", "-n", "trainlock", "-s", signature];
      return spawnSync("ssh-keygen", args, { input: sums }).status;
    };
    const sums = readFileSync(join(release, "SHA256SUMS"));
    expect(verify(release, sums)).toBe(0);
    expect(verify(release, Buffer.concat([sums, Buffer.from("x")]))).not.toBe(0);
    key(`${release}-other`);
    expect(verify(`${release}-other`, sums)).not.toBe(0);
  });

  test("is made of the same bytes when it is built again", () => {
    const again = `${release}-again`;
    execFileSync("node", [join(project, "scripts/build-executable.mjs"), "--outfile", again]);
    const built = readFileSync(join(release, `trainlock-linux-${process.arch}`));
    expect(readFileSync(again).equals(built)).toBe(true);
  });
});
