import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sharedCluster } from "../etcd/cluster.ts";
import { configuration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
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

/**
 * Where the folder goes away, or cannot be entered any more. `$T` is the executable, `$A` names the configuration, `$GONE` a
 * folder.
 */
const folders: Readonly<Record<string, readonly [script: string, stdout: string]>> = {
  "while run waits for the lock": [
    `$T run $A -- bash -c 'until [ -e go ]; do sleep 0.05; done' & until [ "$($T check $A 2>/dev/null; echo $?)" = 1 ]; do :; done
    (cd $GONE; exec $T run $A --wait -- bash -c 'echo trained') & until grep -q Waiting err; do sleep 0.05; done
    rmdir $GONE; touch go; wait`,
    "trained\n",
  ],
  "under the command, which asks whether it holds its lock and runs another": [
    `cd $GONE; $T run $A -- bash -c 'rmdir $GONE; $T held; echo held $?; $T run $A -- echo inner; $T check $A >/dev/null 2>&1; echo check $?'`,
    "held 0\ninner\ncheck 1\n",
  ],
  "and came back under the same name": [
    `cd $GONE; rmdir $GONE; mkdir $GONE; $T run $A -- echo trained; $T check $A; echo $?`,
    "trained\nFREE baseline/idd-aw/deeplabv3plus_r50\n0\n",
  ],
  "of a worker with little memory, which starts itself again": [
    `cd $GONE; rmdir $GONE; ulimit -v 1048576; $T run $A -- echo trained; $T held $A --generation 9; echo $?`,
    "trained\n1\n",
  ],
};

test.each(Object.entries(folders))("a working folder that goes away %s", async (_, [script, expected]) => {
  const of = configuration(await temporaryRoot());
  const gone = join(of.root, "gone");
  mkdirSync(gone);
  const env = environment({ T: executable, A: of.args.join(" "), GONE: gone });
  const { stdout } = await finish("bash", ["-c", `exec 2>err; ${script}`], { cwd: of.root, env });
  expect(stdout).toBe(expected);
});

requiresPrograms("setpriv as root")("in a working folder that its user may not enter, each command works", async () => {
  const of = configuration(await temporaryRoot());
  const closed = join(of.root, "closed");
  mkdirSync(closed, { mode: 0o700 });
  mkdirSync(of.lockDir);
  for (const folder of [of.root, of.lockDir]) chmodSync(folder, 0o777);
  const script = '"$T" check $A; echo $?; "$T" run $A -- echo trained; echo $?; "$T" list >/dev/null; echo $?';
  const call = ["--reuid=65530", "--regid=65530", "--clear-groups", "bash", "-c", script];
  const env = environment({ T: executable, A: of.args.join(" "), TRAINLOCK_ROOT: of.root });
  const { stdout } = await finish("setpriv", call, { cwd: closed, env });
  expect(stdout).toBe(`FREE ${of.name}\n0\ntrained\n0\n0\n`);
});

test.each([
  ["-v", 2048],
  ["-v", 1024],
  ["-v", 512],
  ["-d", 2048],
  ["-d", 512],
  ["-s", 0.25],
] as const)(
  "with ulimit %s of %d MB, run and check work, and the command gets bytes and variables as given",
  async (option, megabytes) => {
    const of = configuration(await temporaryRoot());
    const args = of.args.join(" ");
    const script = `ulimit ${option} ${megabytes * 1024}; t=${executable}; export LATIN=$'caf\\xe9' EMPTY=
    $t run ${args} -- env LC_ALL=C bash -c 'printf "%s|" "$LATIN" "$0" "\${EMPTY-unset}" | od -An -tx1; env | grep -cE "RESTART|TLR_"' $'\\xff'
    $t check ${args}; echo $?; $t held ${args} --generation 7; echo $?`;
    const { stdout } = await finish("bash", ["-c", script], { env: environment() });
    expect(stdout).toBe(` 63 61 66 e9 7c ff 7c 7c\n0\nFREE ${of.name}\n0\n1\n`);
  },
);

/** Ways in which little memory reaches more than one process of ours. `$T` is the executable, `$A` names the configuration. */
const little: Readonly<Record<string, readonly [script: string, stdout: string]>> = {
  "a limit that Python sets for its child": [
    `python3 -c 'import os, resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1 << 29, 1 << 29)); os.execvp(sys.argv[1], sys.argv[1:])' $T run $A -- echo trained`,
    "trained\n",
  ],
  "a limit that the command sets, and a run inside of its run": [
    `$T run $A -- bash -c 'ulimit -v 524288; $T run $A -- echo trained; $T held; echo held $?'`,
    "trained\nheld 0\n",
  ],
  "a second that waits, and a third that is turned away": [
    `ulimit -v 524288; $T run $A -- bash -c 'until [ -e go ]; do sleep 0.05; done' & until [ "$($T check $A 2>/dev/null; echo $?)" = 1 ]; do :; done
    $T run $A --wait -- echo trained & $T run $A -- true; echo $?; touch go; wait`,
    "75\ntrained\n",
  ],
  "a guard, which ends the tree of a killed wrapper": [
    `ulimit -v 524288; $T run $A --die-with-wrapper --kill-after 0.2s -- bash -c 'setsid sleep 60 & echo $! >worker; wait' & run=$!
    until [ -s worker ]; do sleep 0.05; done; kill -9 $run; wait $run; echo $?
    while kill -0 $(cat worker); do sleep 0.05; done; $T run $A --wait -- echo trained`,
    "137\ntrained\n",
  ],
};

for (const [name, [script, expected]] of Object.entries(little))
  requiresPrograms(
    "python3",
    "bash",
    "setsid",
  )(`with 512 MB of virtual memory: ${name}`, async () => {
    const of = configuration(await temporaryRoot());
    const env = environment({ T: executable, A: of.args.join(" ") });
    const { stdout } = await finish("bash", ["-c", `exec 2>err; ${script}`], { cwd: of.root, env });
    expect(stdout).toBe(expected);
  });

const cluster = sharedCluster();
requiresPrograms(
  "bash",
  "etcd",
  "etcdctl",
)("with 512 MB of virtual memory: a lock on etcd, whose keeper has no more, outlasts its killed wrapper", async () => {
  const { url, env: access } = await cluster();
  const of = configuration(await temporaryRoot());
  const script = `ulimit -v 524288; $T run $A --ttl 5s -- bash -c 'echo $PPID >wrapper; until [ -e go ]; do sleep 0.05; done' &
      until [ -s wrapper ]; do sleep 0.05; done; kill -9 $(cat wrapper); sleep 6; $T run $A -- true; echo $?
      touch go; $T run $A --wait -- echo trained; wait`;
  const env = environment({ ...access, TRAINLOCK_STORE: url, T: executable, A: of.args.join(" ") });
  const { stdout } = await finish("bash", ["-c", `exec 2>err; ${script}`], { cwd: of.root, env });
  expect(stdout).toBe("75\ntrained\n");
});

// The runtime aborts there, before any of our code.
test.runIf(process.arch === "x64").each([
  ["-v", 150, "MB", "virtual memory"],
  ["-v", 300, "MB", "virtual memory"],
  ["-v", 449, "MB", "virtual memory"],
  ["-d", 100, "MB", "memory for data"],
  ["-d", 264, "MB", "memory for data"],
  ["-d", 320, "MB", "memory for data"],
  ["-s", 64, "KB", "stack"],
  ["-s", 255, "KB", "stack"],
  ["-n", 8, "files", "room for open files"],
] as const)("with ulimit %s of %i %s every call says so, and exits 3", async (option, most, unit, what) => {
  const of = configuration(await temporaryRoot());
  const script = `ulimit ${option} ${unit === "MB" ? most * 1024 : most}; exec "$@"`;
  const call = (...args: readonly string[]) =>
    finish("bash", ["-c", script, "bash", executable, ...args], { env: environment() });
  for (const args of [
    ["run", ...of.args, "--", "touch", join(of.root, "started")],
    ["check", ...of.args],
    ["held", ...of.args, "--generation", "1"],
    ["clear", "--root", of.root],
  ]) {
    const { exitCode, stderr } = await call(...args);
    expect({ exitCode, first: stderr.split("\n")[0] }).toEqual({
      exitCode: 3,
      first: `trainlock: the ${what} is limited to ${most} ${unit} (ulimit ${option}), which is too little`,
    });
  }
  expect(existsSync(join(of.root, "started"))).toBe(false);
});

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

test.each([
  ["DOS line ends", "#!/bin/sh\r\nexit 0\r\n", /the script has DOS line ends\n {2}.*carriage return/],
  ["an interpreter that is not there", "#! /no/such/shell -e\n", /its interpreter \/no\/such\/shell is not there/],
  ["no line end at all", "#!/no/such/shell", /its interpreter \/no\/such\/shell is not there/],
])("a script with %s is named as that", async (_, text, expected) => {
  const of = configuration(await temporaryRoot());
  const script = join(of.root, "train-it");
  writeFileSync(script, text, { mode: 0o755 });
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

/** PR_SET_MDWE of linux/prctl.h, from Linux 6.3 on: what systemd sets for MemoryDenyWriteExecute=. */
const withoutMachineCode = `import ctypes, os, sys
if ctypes.CDLL(None).prctl(65, 1, 0, 0, 0): sys.exit(77)
os.execv(sys.argv[1], sys.argv[1:])`;

requiresPrograms("python3")("where no machine code may be made in memory: exit 3, and it says so", async () => {
  const of = configuration(await temporaryRoot());
  await trainlock(["run", ...of.args, "--", "true"]);
  for (const args of [
    ["run", ...of.args, "--", "touch", join(of.root, "started")],
    ["check", ...of.args],
  ]) {
    const call = await finish("python3", ["-c", withoutMachineCode, executable, ...args], { env: environment() });
    // An older kernel cannot be asked to refuse it.
    if (call.exitCode === 77) return;
    expect(call).toMatchObject({ exitCode: 3, stdout: "", stderr: expect.stringContaining("machine code in memory") });
  }
  expect(existsSync(join(of.root, "started"))).toBe(false);
});
