import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { noclobberJob } from "../support/peers.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type RunningProcess, startProcess } from "../support/running-process.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import {
  environment,
  executable,
  holdWithLastingCommand,
  holdWithRun,
  killWithCommand,
  startTrainlock,
  trainlock,
} from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const rounds = process.env.TRAINLOCK_SOAK === "1" ? 100 : 6;

/** The calls by which a marker can go: rename, unlink, renameat, unlinkat, renameat2 of x86-64 and of arm64. */
const removing = process.arch === "arm64" ? [38, 35, 276] : [82, 87, 264, 263, 316];
const names = "unlink,unlinkat,rename,renameat,renameat2";

/** `clear`, held up by strace for a second at each such call, from the moment in which it stands before the first. */
async function clearAboutToRemove(of: TestConfiguration, ...inject: readonly string[]): Promise<RunningProcess> {
  const trace = ["-f", "-qq", "-o", "/dev/null", "-e", `trace=${names}`, "-e", `inject=${names}:delay_enter=1000000`];
  const args = [...trace, ...inject, executable, "clear", "--root", of.root, "--scheduler", "none", "--no-dry-run"];
  const clear = startProcess("strace", args, { env: environment() });
  await until("clear to stand before its first step", () => (standsBefore(clear.pid) ? true : null), 20_000);
  return clear;
}

function standsBefore(strace: number): boolean {
  try {
    const traced = readFileSync(`/proc/${strace}/task/${strace}/children`, "utf8").split(" ").filter(Boolean);
    return traced.some((pid) =>
      readdirSync(`/proc/${pid}/task`).some((thread) =>
        removing.includes(Number(readFileSync(`/proc/${pid}/task/${thread}/syscall`, "utf8").split(" ")[0])),
      ),
    );
  } catch {
    return false;
  }
}

describe("in the moment in which clear is about to remove a dead marker, another takes its place", () => {
  const others = [
    ["a bash job", (of: TestConfiguration) => holdsMarker(noclobberJob.start(of))],
    [
      "a bash job in a container",
      (of: TestConfiguration) => {
        const line = 'set -o noclobber; echo $$ >"$1" && echo HELD && exec cat';
        const box = ["--pid", "--fork", "--mount-proc", "--kill-child", "bash", "-c", `${line}; :`, "bash", of.marker];
        return holdsMarker(startProcess("unshare", box, { env: environment() }));
      },
    ],
    [
      "another user's bash job",
      (of: TestConfiguration) => {
        const line =
          'set -o noclobber; echo $$ >"$1" && chown 65534 "$1" && echo HELD && exec setpriv --reuid=65534 cat';
        return holdsMarker(startProcess("bash", ["-c", line, "bash", of.marker], { env: environment() }));
      },
    ],
    ["a run", async (of: TestConfiguration) => void (await holdWithRun([...of.args, "--wait"]))],
  ] as const;

  const injected = [
    ["", []],
    [", where files cannot be exchanged", ["-e", "inject=renameat2:error=EINVAL"]],
  ] as const;

  for (const [where, inject] of injected) {
    for (const [who, comes] of others) {
      requiresPrograms(
        "strace",
        "bash",
        "root",
        "unshare --pid",
        "setpriv as root",
      )(`${who}${where}: it stays, and keeps others away`, async () => {
        const of = configuration(await temporaryRoot());
        await writeMarker(of, `${deadPid}\n`);
        const clear = await clearAboutToRemove(of, ...inject);
        rmSync(of.marker, { force: true });
        await comes(of);
        await clear.finished;
        expect(existsSync(of.marker)).toBe(true);
        expect(await trainlock(["run", ...of.args, "--scheduler", "none", "--", "true"])).toMatchObject({
          exitCode: 75,
        });
        const unfinished = (name: string) => /^\.training_lock\..*\.tmp$/.test(name);
        expect(readdirSync(of.weightsDir).filter(unfinished)).toEqual([]);
      });
    }
  }

  async function holdsMarker(job: RunningProcess): Promise<void> {
    await job.waitFor("HELD");
  }
});

describe("a run that starts beside a clear of its own dead lock trains", () => {
  const dead = [
    ["the marker of a bash job", (of: TestConfiguration) => writeMarker(of, `${deadPid}\n`)],
    [
      "the record of a Python job",
      async (of: TestConfiguration) => {
        const { strategy, dataset, model } = of;
        const record = { strategy, dataset, model, job_id: "local", hostname: hostname(), pid: deadPid, user: "x" };
        mkdirSync(of.lockDir, { recursive: true });
        writeFileSync(of.kernelLock, JSON.stringify({ ...record, acquired_at: "2026-01-12T16:49:29.536651" }));
      },
    ],
    ["a run that was killed", async (of: TestConfiguration) => killWithCommand(await holdWithLastingCommand(of.args))],
  ] as const;
  for (const [what, leave] of dead) {
    for (const which of ["all of the root", "that configuration"]) {
      requiresPrograms("a local file system and the initial PID namespace")(
        `${what}; clear of ${which}`,
        async () => {
          const ends: (number | null)[] = [];
          for (let round = 0; round < rounds; round += 1) {
            const of = configuration(await temporaryRoot());
            await leave(of);
            const place = which === "that configuration" ? of.args : ["--root", of.root];
            const clear = startTrainlock(["clear", ...place, "--scheduler", "none", "--no-dry-run"]);
            // So that one comes before the other, after it, and in the midst of it.
            await sleep((60 * round) / rounds);
            ends.push((await trainlock(["run", ...of.args, "--scheduler", "none", "--", "true"])).exitCode);
            await clear.finished;
          }
          tally({ rounds });
          expect(ends).toEqual(ends.map(() => 0));
        },
        120_000,
      );
    }
  }
});
