import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, holdWithLastingCommand, trainlock } from "../support/trainlock.ts";

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

test.each([
  ["DOS line ends", "#!/bin/sh\r\nexit 0\r\n", /the script has DOS line ends\n {2}.*carriage return/],
  ["an interpreter that is not there", "#! /no/such/shell -e\n", /its interpreter \/no\/such\/shell is not there/],
])("a script with %s is named as that", async (_, text, expected) => {
  const of = configuration(await temporaryRoot());
  const script = join(of.root, "train-it");
  await writeFile(script, text, { mode: 0o755 });
  for (const [program, PATH] of [
    [script, "/usr/bin:/bin"],
    ["train-it", `/usr/bin:${of.root}`],
  ] as const) {
    const run = await trainlock(["run", ...of.args, "--", program], { env: { PATH } });
    expect(run).toMatchObject({ exitCode: 126, stderr: expect.stringMatching(expected) });
  }
});

test.each(["SIGABRT", "SIGSEGV", "SIGTRAP", "SIGBUS", "SIGFPE", "SIGILL"] as const)(
  "%s to the wrapper: no word about a crash, and the command keeps the lock",
  async (signal) => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithLastingCommand(of.args);
    holder.kill(signal);
    expect(await holder.finished).toMatchObject({ signal, stderr: "" });
    expect(isRunning(holder.commandPid)).toBe(true);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
  },
);

test("real-time signals do not end the wrapper, and the command has them as their default", async () => {
  const of = configuration(await temporaryRoot());
  const holder = await holdWithLastingCommand(of.args);
  for (const signal of [34, 40, 64]) process.kill(holder.pid, signal);
  process.kill(holder.commandPid, 40);
  expect(await holder.finished).toMatchObject({ exitCode: 128 + 40, stderr: "" });
});
