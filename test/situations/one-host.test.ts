import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished } from "vitest";
import { startTimeTicksOf } from "../../src/system/processes/process-table.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { oneHost } from "./one-host.ts";
import { type Answers, faultsIn, type Situation } from "./situation.ts";

const staging = fileURLToPath(new URL("staging.sh", import.meta.url));
const peers = fileURLToPath(new URL("../support/peers", import.meta.url));
const asRoot = requiresPrograms(
  "root",
  "unshare --pid",
  "unshare --mount",
  "setpriv as root",
  "python3",
  "flock",
  "bindfs",
);

/** Every third, unless all are wanted: `npm run test:situations`. */
const chosen = Object.entries(oneHost).map(([kind, situations]) => {
  const isWanted = (_: Situation, at: number) => process.env.TRAINLOCK_SITUATIONS === "all" || at % 3 === 0;
  return [kind, situations.filter(isWanted)] as const;
});

describe.each(chosen)("%s:", (_, situations) => {
  for (const one of situations) {
    asRoot(`${one.truth}: ${one.says}`, async () => {
      const of = configuration(await temporaryRoot());
      await stage(one, of);
      expect(faultsIn(one, await ask(one, of)).join("\n")).toBe("");
    });
  }
});

async function stage({ stage: lines }: Situation, of: TestConfiguration): Promise<void> {
  const notes = join(await temporaryRoot(), "notes");
  mkdirSync(notes);
  // What other users stage and ask must find its way.
  for (const folder of [of.root, join(notes, ".."), notes]) chmodSync(folder, 0o755);
  onTestFinished(() => endAll(notes));
  const variables = {
    T: executable,
    A: of.args.join(" "),
    R: of.root,
    W: of.weightsDir,
    M: of.marker,
    L: of.kernelLock,
    J: of.markerRecord,
    S: notes,
    P: peers,
    STAGING: staging,
    PIDS: readlinkSync("/proc/self/ns/pid"),
  };
  // A session of its own whose parent has ended: a relative of the asking call would not count.
  const script = `. "$STAGING"\n${lines}\nrest`;
  const child = spawn("setsid", ["--fork", "bash", "-c", script], {
    env: environment(variables),
    stdio: ["ignore", "ignore", "inherit"],
  });
  child.unref();
  await until("the situation is staged", () => (existsSync(join(notes, "ready")) ? true : null), 20_000);
}

/** Only what the staging has noted: by its number and its start, so that nobody else's process is ever meant. */
function endAll(notes: string): void {
  for (const line of readFileSync(join(notes, "pids"), "utf8").split("\n")) {
    const [, pid, start] = /^(\d+) (\d+)$/.exec(line) ?? [];
    if (pid === undefined || Number(pid) < 2 || String(startTimeTicksOf(Number(pid))) !== start) continue;
    try {
      process.kill(Number(pid), "SIGKILL");
    } catch {
      // It has ended.
    }
  }
}

async function ask({ asks = [] }: Situation, of: TestConfiguration): Promise<Answers> {
  const call = (args: readonly string[]) => {
    const [file = "", ...rest] = [...asks, executable, ...args];
    return finish(file, rest, { env: environment(), timeoutMs: 15_000 });
  };
  const apart = ["--scheduler", "none"];
  const list = await call(["list", "--root", of.root, "--json", ...apart]);
  const check = await call(["check", ...of.args, ...apart]);
  const run = await call(["run", ...of.args, ...apart, "--", "true"]);
  const listed = list.stdout === "" ? [] : (JSON.parse(list.stdout) as { locks: Answers["listed"] }).locks;
  return { check: check.exitCode, run: run.exitCode, listed };
}
