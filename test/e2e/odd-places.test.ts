import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";

test.each([
  { BUN_OPTIONS: "--version" },
  { BUN_OPTIONS: "--no-such-option" },
  { BUN_BE_BUN: "1" },
  { BUN_JSC_useJIT: "0" },
  { BUN_JSC_noSuchOption: "1" },
  { BUN_INSPECT: "1" },
])("what users set for Bun changes no exit code, and reaches the command: %j", async (env) => {
  const of = configuration(await temporaryRoot());
  expect(await trainlock(["check", ...of.args], { env })).toMatchObject({ exitCode: 0, stdout: `FREE ${of.name}\n` });
  const [[name, value] = []] = Object.entries(env);
  const run = await trainlock(["run", ...of.args, "--", "printenv", String(name)], { env });
  expect(run).toEqual({ exitCode: 0, signal: null, stdout: `${value}\n`, stderr: "" });
  const held = await trainlock(["held", ...of.args, "--generation", "1"], { env });
  expect(held).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("is not held") });
});

test("in a working folder that was removed, each command works", async () => {
  const of = configuration(await temporaryRoot());
  const gone = join(of.root, "gone");
  const args = of.args.join(" ");
  const script = `mkdir ${gone}; cd ${gone}; rmdir ../gone; t=${executable}
    $t check ${args}; echo $?; $t list --root ${of.root}; echo $?; $t run ${args} -- $t held; echo $?`;
  const { stdout } = await finish("bash", ["-c", script], { env: environment() });
  expect(stdout).toBe(`FREE ${of.name}\n0\nNo active training locks\n0\n0\n`);
});

test.each([2048, 1024, 512])(
  "with %i MB of virtual memory, run and check work, and the command gets bytes and variables as given",
  async (megabytes) => {
    const of = configuration(await temporaryRoot());
    const args = of.args.join(" ");
    const script = `ulimit -v $((${megabytes} * 1024)); t=${executable}; export LATIN=$'caf\\xe9' EMPTY=
    $t run ${args} -- env LC_ALL=C bash -c 'printf "%s|" "$LATIN" "$0" "\${EMPTY-unset}" | od -An -tx1; env | grep -cE "RESTART|TLR_"' $'\\xff'
    $t check ${args}; echo $?; $t held ${args} --generation 7; echo $?`;
    const { stdout } = await finish("bash", ["-c", script], { env: environment() });
    expect(stdout).toBe(` 63 61 66 e9 7c ff 7c 7c\n0\nFREE ${of.name}\n0\n1\n`);
  },
);

// The runtime aborts there, before any of our code.
test.runIf(process.arch === "x64").each([150, 300, 449])(
  "with %i MB of virtual memory every call says so, and exits 3",
  async (megabytes) => {
    const of = configuration(await temporaryRoot());
    const script = `ulimit -v $((${megabytes} * 1024)); exec "$@"`;
    const call = (...args: readonly string[]) =>
      finish("bash", ["-c", script, "bash", executable, ...args], { env: environment() });
    for (const args of [
      ["run", ...of.args, "--", "touch", join(of.root, "started")],
      ["clear", "--root", of.root],
    ]) {
      const { exitCode, stderr } = await call(...args);
      expect({ exitCode, first: stderr.split("\n")[0] }).toEqual({
        exitCode: 3,
        first: `trainlock: the virtual memory is limited to ${megabytes} MB (ulimit -v), which is too little`,
      });
    }
    expect(existsSync(join(of.root, "started"))).toBe(false);
  },
);

(process.arch === "x64" ? requiresPrograms("unshare --mount") : test.skip)(
  "without /proc every call says so, and exits 3",
  async () => {
    const of = configuration(await temporaryRoot());
    const inside = ["--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh", executable];
    for (const args of [
      ["run", ...of.args, "--", "touch", join(of.root, "started")],
      ["check", ...of.args],
      ["clear"],
    ]) {
      const { exitCode, stderr } = await finish("unshare", [...inside, ...args], { env: environment() });
      expect({ exitCode, stderr }).toEqual({
        exitCode: 3,
        stderr: expect.stringMatching(/^trainlock: \/proc is not mounted/),
      });
    }
    expect(existsSync(join(of.root, "started"))).toBe(false);
  },
);
