import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, mkdirSync, openSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { goingOnEvidence } from "../../src/evidence/open-files.ts";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const seeingAll = requiresPrograms("a local file system and the initial PID namespace");

/** A marker of a job script that has died, and a process that a shell line starts in a session of its own. */
async function afterAScript(line: string): Promise<{ of: TestConfiguration; process: ChildProcess }> {
  const of = configuration(await temporaryRoot());
  await writeMarker(of, `${deadPid}\n`);
  return { of, process: await start(of, line) };
}

async function start(of: TestConfiguration, line: string): Promise<ChildProcess> {
  const ready = join(of.root, "ready");
  const env = { PATH: process.env.PATH, W: of.weightsDir, READY: ready };
  // Its parent is gone, as the script is: else it would be a relative of the call that asks.
  const script = `setsid sh -c '${line}' & echo $! >"$READY.pid"; exit`;
  const child = spawn("sh", ["-c", script], { env, stdio: "ignore", detached: true });
  await until("the process", () => (read(ready) === "" ? null : true));
  onTestFinished(() => {
    try {
      process.kill(-Number(read(`${ready}.pid`)), "SIGKILL");
    } catch {
      // It has ended by itself.
    }
  });
  return child;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

interface Listed {
  readonly label: string;
  readonly pid: number | null;
  readonly holder: { readonly living: { readonly pid: number; readonly command: readonly string[] } | null } | null;
}

async function listed({ root }: TestConfiguration): Promise<Listed> {
  const { stdout } = await trainlock(["list", "--file-only", "--root", root, "--scheduler", "none", "--json"]);
  return JSON.parse(stdout).locks[0];
}

const run = ({ args }: TestConfiguration) => trainlock(["run", ...args, "--scheduler", "none", "--", "true"]);

describe("the script of a bare PID is gone, and a process of its owner", () => {
  const trains = [
    ["writes a log in the weights dir", 'exec 7>>"$W/train.log"; echo $$ >"$READY"; exec sleep 60'],
    [
      "writes a checkpoint in a folder of it",
      'mkdir "$W/ckpt"; exec 7>"$W/ckpt/iter_1.pth"; echo $$ >"$READY"; exec sleep 60',
    ],
    ["writes what it has removed", 'exec 7<>"$W/tmp"; rm "$W/tmp"; echo $$ >"$READY"; exec sleep 60'],
  ] as const;
  test.each(trains)("%s: locked, and it is named", async (_, line) => {
    const { of } = await afterAScript(line);
    const pid = Number(read(join(of.root, "ready")));
    const lock = await listed(of);
    expect(lock).toMatchObject({ label: "ACTIVE", pid: deadPid });
    expect(lock.holder?.living).toMatchObject({ pid, command: ["sleep", "60"] });
    const turned = await run(of);
    expect(turned).toMatchObject({ exitCode: 75, stderr: expect.stringContaining(`PID ${pid} (sleep 60)`) });
    expect((await trainlock(["check", ...of.args, "--scheduler", "none"])).exitCode).toBe(1);
    process.kill(pid, "SIGKILL");
    await until("the lock to be free", async () => ((await run(of)).exitCode === 0 ? true : null));
  });

  const harmless = [
    ["reads there", 'echo 1 >"$W/x.pth"; exec 7<"$W/x.pth"; echo $$ >"$READY"; exec sleep 60'],
    ["works there, with no file open", 'cd "$W"; echo $$ >"$READY"; exec sleep 60'],
    ["writes beside it", 'exec 7>"$W-other"; echo $$ >"$READY"; exec sleep 60'],
    ["has the marker open", 'exec 7>>"$W/.training_lock"; echo $$ >"$READY"; exec sleep 60'],
  ] as const;
  for (const [what, line] of harmless) {
    seeingAll(`${what}: stale`, async () => {
      const { of } = await afterAScript(line);
      expect((await listed(of)).label).toBe("STALE - PID not running");
      expect((await run(of)).exitCode).toBe(0);
    });
  }

  requiresPrograms("setpriv as root")("is another user's: stale", async () => {
    const { of } = await afterAScript(
      'exec 7>"$W/x.pth"; echo $$ >"$READY"; exec setpriv --reuid=65534 --regid=65534 --clear-groups sleep 60',
    );
    expect((await listed(of)).label).toBe("STALE - PID not running");
  });

  requiresPrograms("unshare --pid", "unshare --mount")(
    "trains in a container, where the folder has another name: locked",
    async () => {
      const { of } = await afterAScript(
        'exec unshare --pid --mount --fork --kill-child sh -c "mount --bind \\"$W\\" /mnt && exec 7>/mnt/x.pth && echo in >\\"$READY\\" && exec sleep 60"',
      );
      expect((await listed(of)).label).toBe("ACTIVE");
    },
  );
});

seeingAll(
  "crash, fix, restart: the job's own log in the weights dir, and a tee beside it, keep nobody away",
  async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, `${deadPid}\n`);
    const call = `"$T" run ${of.args.join(" ")} --scheduler none -- true`;
    const script = `exec >>"${of.weightsDir}/job.log" 2>&1; ${call} | tee "${of.weightsDir}/tee.log"; exit \${PIPESTATUS[0]}`;
    const shell = spawn("bash", ["-c", script], { env: { ...process.env, T: executable }, stdio: "ignore" });
    expect(await new Promise((resolve) => shell.on("close", resolve))).toBe(0);
  },
);

describe("what goes on in a weights dir whose holder nobody could look at", () => {
  const doubts = (folder: string) =>
    goingOnEvidence(folder).map((found) => (found.says === "unknown" ? found.because : found.says));
  const agoSeconds = (seconds: number) => Date.now() / 1000 - seconds;

  test("a file that was written within two minutes is a doubt, an older one is none", async () => {
    const folder = await temporaryRoot();
    const file = join(folder, "iter_1.pth");
    expect(doubts(folder)).toEqual([]);
    writeFileSync(file, "");
    expect(doubts(folder)).toEqual(["still being written"]);
    utimesSync(file, agoSeconds(100), agoSeconds(100));
    expect(doubts(folder)).toEqual(["still being written"]);
    utimesSync(file, agoSeconds(130), agoSeconds(130));
    expect(doubts(folder)).toEqual([]);
    // Of a server whose clock is ahead.
    utimesSync(file, agoSeconds(-500), agoSeconds(-500));
    expect(doubts(folder)).toEqual(["still being written"]);
  });

  test("who has a file open there is named; our own files and logs do not count", async () => {
    const { of } = await afterAScript('exec 7>"$W/train.log"; echo $$ >"$READY"; exec sleep 60');
    expect(doubts(of.weightsDir)).toEqual([`in use by PID ${read(join(of.root, "ready")).trim()}`]);
    const own = await temporaryRoot();
    writeFileSync(join(own, ".training_lock.json"), "");
    const log = openSync(join(own, "job.log"), "w");
    expect(doubts(own)).toEqual([]);
    closeSync(log);
    await new Promise((resolve) => setImmediate(resolve));
    expect(doubts(own)).toEqual(["still being written"]);
  });
});

describe("an empty marker, an hour old", () => {
  async function emptyMarker(): Promise<TestConfiguration> {
    const of = configuration(await temporaryRoot());
    mkdirSync(of.weightsDir, { recursive: true });
    writeFileSync(of.marker, "");
    return of;
  }
  const anHourAgo = () => Date.now() / 1000 - 3600;

  test.each([
    ["who has made it and not written yet", 'exec 7>>"$W/.training_lock"; echo $$ >"$READY"; exec sleep 60'],
    ["a shell that was stopped there", 'exec 7>>"$W/.training_lock"; echo $$ >"$READY"; kill -STOP $$'],
  ])("%s has it open: unknown, and never taken over", async (_, line) => {
    const of = await emptyMarker();
    await start(of, line);
    utimesSync(of.marker, anHourAgo(), anHourAgo());
    expect((await listed(of)).label).toBe("UNKNOWN - being created");
    expect((await run(of)).exitCode).toBe(75);
    process.kill(Number(read(join(of.root, "ready"))), "SIGKILL");
    await until("the marker to be stale", async () => ((await listed(of)).label === "STALE - no PID" ? true : null));
  });

  seeingAll("nobody has it open: stale", async () => {
    const of = await emptyMarker();
    utimesSync(of.marker, anHourAgo(), anHourAgo());
    expect((await listed(of)).label).toBe("STALE - no PID");
  });
});
