import { readdirSync, readFileSync } from "node:fs";
import { copyFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { expect, test } from "vitest";
import {
  pidsInsideContainers,
  processesWithToken,
  readProcess,
  seesAllProcesses,
} from "../../src/system/processes/process-table.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const bun = resolve("node_modules/.bin/bun");

/** Evaluates an expression over the module under test in a process started by the given command. */
async function elsewhere(command: readonly string[], expression: string): Promise<unknown> {
  const source = `import * as processes from "./src/system/processes/process-table.ts"; console.log(JSON.stringify(${expression}));`;
  const [file, ...args] = [...command, bun, "-e", source];
  const { stdout, stderr } = await finish(file ?? bun, args);
  if (stdout === "") throw new Error(stderr);
  return JSON.parse(stdout);
}

test("reads a living process", async () => {
  const child = startProcess("cat", []);
  const reading = readProcess(child.pid);
  expect(reading).toMatchObject({ kind: "alive", facts: { pid: child.pid, uid: process.getuid?.() } });
  if (reading.kind !== "alive") return;
  const own = readProcess(process.pid);
  expect(reading.facts.startedBeforeSeconds).toBeLessThan(10);
  expect(own.kind === "alive" && own.facts.startTimeTicks).toBeLessThanOrEqual(reading.facts.startTimeTicks);
});

test("tells the age by the clock that started at boot", () => {
  const uptime = Number.parseFloat(readFileSync("/proc/uptime", "utf8"));
  const first = readProcess(1);
  if (first.kind !== "alive") return;
  expect(first.facts.startedBeforeSeconds + first.facts.startTimeTicks / 100).toBeCloseTo(uptime, 0);
});

test("reads a process whose name has spaces and parentheses", async () => {
  const program = join(await temporaryRoot(), "a) S 1 (b");
  await copyFile("/bin/cat", program);
  const child = startProcess(program, []);
  expect(readProcess(child.pid)).toMatchObject({ kind: "alive", facts: { uid: process.getuid?.() } });
});

test("calls a process gone that has ended, and numbers that are no PID", async () => {
  const child = startProcess("true", []);
  await child.finished;
  for (const pid of [child.pid, 0, -1, 1.5, Number.NaN, 4_194_305, 2 ** 31, 2 ** 53]) {
    expect(readProcess(pid), String(pid)).toEqual({ kind: "gone" });
  }
});

test("calls a thread gone: markers name processes", () => {
  const threads = readdirSync("/proc/self/task").map(Number);
  const others = threads.filter((tid) => tid !== process.pid);
  expect(others.length).toBeGreaterThan(0);
  for (const tid of others) expect(readProcess(tid)).toEqual({ kind: "gone" });
});

test("tells a zombie", async () => {
  const parent = startProcess("sh", ["-c", "sleep 60 & echo $!; exec cat"]);
  await parent.waitFor("\n");
  // Once the shell has become cat, nobody asks for the end of its child.
  await expect.poll(() => readFileSync(`/proc/${parent.pid}/comm`, "utf8")).toBe("cat\n");
  const child = Number(parent.stdout());
  process.kill(child, "SIGKILL");
  await expect.poll(() => readProcess(child)).toEqual({ kind: "zombie" });
});

requiresPrograms("python3")("does not call a process a zombie whose other threads go on", async () => {
  const program = [
    "import ctypes, sys, threading",
    "threading.Thread(target=sys.stdin.read).start()",
    "print('ready', flush=True)",
    "ctypes.CDLL(None).pthread_exit(None)",
  ].join("\n");
  // The interpreter by its own path: a launcher in front of it would be another process.
  const python = (await finish("python3", ["-c", "import sys; print(sys.executable)"])).stdout.trim();
  const child = startProcess(python, ["-c", program]);
  await child.waitFor("ready");
  await expect.poll(() => readFileSync(`/proc/${child.pid}/status`, "utf8")).toContain("State:\tZ");
  expect(readProcess(child.pid)).toMatchObject({ kind: "alive", facts: { state: "Z" } });
});

test("finds the process that was started with a token", () => {
  const env = { ...process.env, TRAINLOCK_TOKEN: "0123456789abcdef" };
  const child = startProcess("cat", [], { env });
  expect(processesWithToken("0123456789abcde")).toEqual([]);
  expect(processesWithToken("0123456789abcdef")).toEqual([child.pid]);
});

requiresPrograms("root")("knows the PIDs that processes have inside containers", async () => {
  const inside = startProcess("unshare", [
    "--pid",
    "--fork",
    "--mount-proc",
    "sh",
    "-c",
    "(sleep 0); echo $$; exec cat",
  ]);
  await inside.waitFor("1\n");
  expect([...pidsInsideContainers().keys()]).toContain(1);
  expect([...pidsInsideContainers().keys()]).not.toContain(process.pid);
});

requiresPrograms("root")("learns nothing from the /proc of another PID namespace", async () => {
  const found = await elsewhere(
    ["unshare", "--pid", "--fork"],
    "[processes.readProcess(process.pid).kind, processes.readProcess(4000000).kind, processes.seesAllProcesses()]",
  );
  expect(found).toEqual(["hidden", "gone", false]);
});

const underHidepid = (options: string, ...privileges: string[]) => [
  ...["unshare", "--pid", "--fork", "--mount", "sh", "-c"],
  // The shell stays as PID 1, with privileges that the program after it may lack.
  `mount -t proc -o ${options} proc /proc && setpriv "$@"; exit $?`,
  ...["sh", ...privileges],
];
const withoutPtrace = ["--inh-caps", "-sys_ptrace", "--bounding-set", "-sys_ptrace"];
const seesAll = "[processes.seesAllProcesses(), processes.readProcess(1).kind]";

requiresPrograms("root", "setpriv")("knows when /proc hides processes", async () => {
  const plain = underHidepid("hidepid=0", ...withoutPtrace);
  const privileged = underHidepid("hidepid=2,gid=4242", "--no-new-privs");
  const hiding = underHidepid("hidepid=2,gid=4242", ...withoutPtrace);
  const inGroup = underHidepid("hidepid=2,gid=4242", "--groups", "4242", ...withoutPtrace);
  expect(await elsewhere(plain, seesAll)).toEqual([true, "alive"]);
  expect(await elsewhere(privileged, seesAll)).toEqual([true, "alive"]);
  expect(await elsewhere(hiding, seesAll)).toEqual([false, "hidden"]);
  expect(await elsewhere(inGroup, seesAll)).toEqual([true, "alive"]);
});

test("sees all processes where /proc has no hidepid", () => {
  if (!/ \/proc .* - proc .*hidepid/.test(readFileSync("/proc/self/mountinfo", "utf8"))) {
    expect(seesAllProcesses()).toBe(true);
  }
});
