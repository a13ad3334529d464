import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, run, trainlock } from "../support/trainlock.ts";

/** Every command that takes a configuration, with what it needs to be called rightly. */
const withConfiguration = [
  { command: "check", rest: [] },
  { command: "run", rest: ["--", "echo", "trained"] },
] as const;

describe.each(withConfiguration)("$command", ({ command, rest }) => {
  const call = (args: readonly string[]) => trainlock([command, ...args, ...rest]);
  const right = { "--strategy": "baseline", "--dataset": "IDD-AW", "--model": "deeplabv3plus_r50" };
  const flagsOf = (flags: Readonly<Record<string, string>>) => Object.entries(flags).flat();

  test("without any root: exit code 2, naming the three variables", async () => {
    const called = await call(flagsOf(right));
    expect(called).toMatchObject({ exitCode: 2, stdout: "" });
    for (const name of ["TRAINLOCK_ROOT", "AWARE_DATA_ROOT", "PROVE_ROOT"]) expect(called.stderr).toContain(name);
  });

  test("with a root that is not there, or is a file: exit code 3, naming it", async () => {
    const root = await temporaryRoot();
    const file = join(root, "file");
    await writeFile(file, "");
    for (const wrong of [join(root, "gone"), file]) {
      const called = await call(["--root", wrong, ...flagsOf(right)]);
      expect(called).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(wrong) });
    }
  });

  test.each(["--strategy", "--dataset", "--model"])("without %s: exit code 2, naming it", async (flag) => {
    const root = await temporaryRoot();
    const others = Object.entries(right)
      .filter(([name]) => name !== flag)
      .flat();
    const called = await call(["--root", root, ...others]);
    expect(called).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining(flag) });
  });

  const wrongValues = [
    ["--strategy", "../../etc"],
    ["--strategy", ".."],
    ["--strategy", "."],
    ["--strategy", ""],
    ["--dataset", "a/b"],
    ["--model", "/etc"],
    ["--ratio", "abc"],
    ["--ratio", "1.5"],
    ["--ratio", "-0.1"],
    ["--ratio", "NaN"],
    ["--ratio", "Infinity"],
    ["--ratio", "0x1"],
    ["--ratio", ""],
    ["--aux-loss", "../x"],
    ["--stage", "a/b"],
  ] as const;
  test.each(wrongValues)("with %s %j: exit code 2, naming flag and value", async (flag, value) => {
    const root = await temporaryRoot();
    // `=` so that a value with a leading dash is a value.
    const called = await call(["--root", root, ...flagsOf({ ...right }), `${flag}=${value}`]);
    expect(called).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining(flag) });
    expect(called.stderr).toContain(value);
  });

  test.each(["\n", "\u001b[31m", "\u0007"])(
    "with a control character %j in a name: exit code 2, shown escaped",
    async (evil) => {
      const root = await temporaryRoot();
      const called = await call(["--root", root, ...flagsOf({ ...right, "--strategy": `a${evil}b` })]);
      expect(called).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("--strategy") });
      expect(called.stderr).not.toContain(`a${evil}b`);
    },
  );

  test("with an unknown option: exit code 2, naming it and the nearest", async () => {
    const { args } = configuration(await temporaryRoot());
    const called = await call([...args, "--stratgey", "x"]);
    expect(called).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("--stratgey") });
    expect(called.stderr).toContain("--strategy");
  });
});

test("an unknown command: exit code 2, naming it and the nearest", async () => {
  const called = await trainlock(["chekc"]);
  expect(called).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("chekc") });
  expect(called.stderr).toMatch(/\bcheck\b/);
});

test.each([["list"], ["clear"]])(
  "%s with an unknown option: exit code 2, naming it and the nearest",
  async (command) => {
    const root = await temporaryRoot();
    const called = await trainlock([command, "--root", root, "--fcntl-onyl"]);
    expect(called).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("--fcntl-onyl") });
    expect(called.stderr).toContain("--fcntl-only");
  },
);

test.each([["list"], ["clear"]])("%s without a root: exit code 2; with one that is not there: 3", async (command) => {
  const none = await trainlock([command]);
  expect(none).toMatchObject({ exitCode: 2, stdout: "" });
  for (const name of ["TRAINLOCK_ROOT", "AWARE_DATA_ROOT", "PROVE_ROOT"]) expect(none.stderr).toContain(name);
  const gone = join(await temporaryRoot(), "gone");
  const called = await trainlock([command, "--root", gone]);
  expect(called).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining(gone) });
});

test.each(["a,b", "gen_*", "{strategy}", '""'])("run says that a name like %j is taken as one name", async (name) => {
  const root = await temporaryRoot();
  const flags = ["--root", root, "--dataset", "d", "--model", "m"];
  const { exitCode, stderr } = await trainlock(["run", ...flags, "--strategy", name, "--", "true"]);
  expect(exitCode).toBe(0);
  expect(stderr).toMatch(/^trainlock: --strategy .* is taken as one name: [^\n]+\n$/);
});

test("run without a command, or with a choice that is none: exit code 2", async () => {
  const of = configuration(await temporaryRoot());
  expect(await trainlock(["run", ...of.args])).toMatchObject({ exitCode: 2, stdout: "" });
  expect(await trainlock(["run", ...of.args, "--"])).toMatchObject({ exitCode: 2, stdout: "" });
  const choice = await trainlock(["run", ...of.args, "--on-locked", "explode", "--", "echo", "trained"]);
  expect(choice).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("explode") });
});

describe("what a wrong call says", () => {
  test("is a line or two, not a stack trace", async () => {
    const root = await temporaryRoot();
    for (const args of [["chekc"], ["list", "--root", `${root}/gone`], ["check", "--root", root], ["list", "--nope"]]) {
      const { stderr } = await trainlock(args);
      expect(stderr).not.toMatch(/^\s+at /m);
      expect(stderr).not.toMatch(/\.(ts|js):\d+/);
    }
  });
});

describe("help", () => {
  test.each(["run", "check", "list", "clear", "completion"])(
    "of %s ends with examples and its exit codes",
    async (command) => {
      const help = await trainlock([command, "--help"]);
      expect(help).toMatchObject({ exitCode: 0, stderr: "" });
      // Nothing but codes and their meaning, some of them over two lines, after the heading.
      const ending = new RegExp(
        `\\nExamples:\\n[\\s\\S]*trainlock ${command}[\\s\\S]*\\n\\nExit codes:\\n(?: {2}.*\\n)+$`,
      );
      expect(help.stdout).toMatch(ending);
      expect(help.stdout).toMatch(/\n {2}0 +\S[\s\S]*\n {2}2 +\S/);
    },
  );

  test("--version is that of the package", async () => {
    const manifest = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8"));
    const version = await trainlock(["--version"]);
    expect(version).toMatchObject({ exitCode: 0, stderr: "" });
    expect(version.stdout).toContain(manifest.version);
  });
});

describe("what fails says what, why, and the way out", () => {
  test("standard output that takes nothing: exit code 3, and it is named", async () => {
    const root = await temporaryRoot();
    const call = await run(["sh", "-c", `"$0" list --root "$1" >/dev/full`, executable, root]);
    expect(call).toMatchObject({
      exitCode: 3,
      stderr: expect.stringContaining("cannot write to standard output: ENOSPC"),
    });
    expect(call.stderr).toContain("free some space");
  });

  test("a site's file that is not there, a program that is not found, and one that cannot be executed", async () => {
    const of = configuration(await temporaryRoot());
    const site = await trainlock(["list", "--root", of.root, "--config", join(of.root, "none.yaml")]);
    expect(site).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("trainlock init --config FILE") });
    const missing = await trainlock(["run", ...of.args, "--", "no-such-program"]);
    expect(missing).toMatchObject({
      exitCode: 127,
      stderr: expect.stringMatching(/command not found\n {2}name a program/),
    });
    const folder = await trainlock(["run", ...of.args, "--", of.root]);
    expect(folder).toMatchObject({ exitCode: 126, stderr: expect.stringMatching(/EACCES\n {2}give a program/) });
  });

  requiresPrograms("setpriv as root")("a lock dir that may not be entered: check names file and reason", async () => {
    const of = configuration(await temporaryRoot());
    await mkdir(of.lockDir, { mode: 0o700 });
    await chmod(of.root, 0o755);
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const check = await run([...nobody, executable, "check", ...of.args]);
    expect(check).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(`whether ${of.kernelLock} is locked`) });
    expect(check.stderr).toContain("EACCES");
    expect(check.stderr).toContain("check owner and mode");
  });

  requiresPrograms("unshare --mount")(
    "a full disk: the run ends well, and its status file is named with the way out",
    async () => {
      const of = configuration(await temporaryRoot());
      const full = join(of.root, "full");
      await mkdir(full);
      const script = `mount -t tmpfs -o size=4k tmpfs "$0" && head -c 4096 /dev/zero >"$0/fill" && exec "$@"`;
      const call = [executable, "run", ...of.args, "--status", join(full, "status"), "--", "true"];
      const ended = await run(["unshare", "--mount", "sh", "-c", script, full, ...call]);
      expect(ended).toMatchObject({
        exitCode: 0,
        stderr: expect.stringMatching(/status: ENOSPC\n {2}the disk is full/),
      });
    },
  );

  requiresPrograms("unshare --mount")(
    "a full root: exit code 3, and nothing about owners, who are not the reason",
    async () => {
      const of = configuration(await temporaryRoot());
      const script = `mount -t tmpfs -o size=4k tmpfs "$0" && head -c 4096 /dev/zero >"$0/fill" && exec "$@"`;
      const ended = await run([
        "unshare",
        "--mount",
        "sh",
        "-c",
        script,
        of.root,
        executable,
        "run",
        ...of.args,
        "--",
        "true",
      ]);
      expect(ended).toMatchObject({
        exitCode: 3,
        stderr: expect.stringMatching(/ENOSPC\n {2}the disk is full: free some space\n$/),
      });
    },
  );
});

describe("what is suggested is near", () => {
  test("an option with one dash, a grid file beside it, what goes on from a name; of one letter no other letter", async () => {
    const root = await temporaryRoot();
    await writeFile(
      join(root, "grid.yaml"),
      "- { strategy: [a, b], dataset: d, model: m, exclude: [{ strategy: c }] }\n",
    );
    const said = async (...args: string[]) => (await trainlock([...args, "--root", root])).stderr;
    expect(await said("run", "-strategy", "b")).toBe(
      "trainlock: unknown option -strategy\n  did you mean --strategy?\n",
    );
    expect(await said("run", "-s", "b")).toContain("unknown option -s\n  see trainlock run --help");
    const { stderr } = await trainlock(["work", "grid.yml", "--root", root, "--", "true"], { cwd: root });
    expect(stderr).toContain("there is no grid file grid.yml\n  did you mean grid.yaml?");
    expect(await said("plan", join(root, "gird.yaml"))).toContain(`did you mean ${join(root, "grid.yaml")}?`);
    expect(await said("plan", join(root, "grid.yaml"))).toContain('no row has "c" here\n  one of a, b');
    for (const model of ["pspnet_r50_ratio0p25", "pspnet_r50_ratio0p50"])
      await mkdir(join(root, "WEIGHTS", "gen_TSIT", "idd-aw_cd", model, "x"), { recursive: true });
    await mkdir(join(root, "WEIGHTS", "cutmix", "idd-aw_cd", "pspnet_r50"), { recursive: true });
    for (const [strategy, more] of [
      ["gen_TSIT", ["--ratio", "0.25"]],
      ["gen_TSIT", ["--ratio", "0.5"]],
      ["cutmix", []],
    ] as const)
      await trainlock([
        "run",
        "--root",
        root,
        "--strategy",
        strategy,
        "--dataset",
        "IDD-AW",
        "--model",
        "pspnet_r50",
        ...more,
        "--",
        "true",
      ]);
    expect(await said("why", "gen_TSIT/idd-aw/pspnet_r50")).toMatch(
      /did you mean gen_TSIT\/idd-aw\/pspnet_r50_ratio0p25, or 1 more/,
    );
  });
});

test("a value that nothing has is named once, and a missing command with where it goes", async () => {
  const root = await temporaryRoot();
  await writeFile(join(root, "trainlock.yaml"), "strategies: [baseline]\n");
  const grid = join(root, "g.yaml");
  await writeFile(grid, "- { strategy: baseline, dataset: d, model: m }\n");
  const said = async (...args: string[]) => (await trainlock([...args, "--root", root])).stderr;
  const selected = ["--strategy", "basline", "--dataset", "d", "--model", "m"];
  expect(await said("plan", ...selected)).toBe(
    'trainlock: --strategy "basline" is not among the strategies of this site\n  did you mean baseline?\n',
  );
  expect(await said("plan", grid, "--model", "q")).toMatch(/^trainlock: --model: no row has "q" here\n/);
  expect(await said("clear", "baseline/d/m")).toContain("a configuration is given as --name baseline/d/m");
  for (const call of ["work", "submit"])
    expect(await said(call, grid)).toMatch(
      new RegExp(`^trainlock: no command is given\n {2}give it after --, for example: trainlock ${call} .* -- `),
    );
});
