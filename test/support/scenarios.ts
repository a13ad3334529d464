import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { configuration, type TestConfiguration } from "./configuration.ts";
import { trace } from "./strace.ts";
import { executable, run } from "./trainlock.ts";
import { lustreWithoutLocks } from "./without-kernel-locks.ts";

/** Says which generation it got, and touches no file that a lock has. */
export const harmlessCommand = ["sh", "-c", 'echo "$TRAINLOCK_GENERATION"'];

/** A folder in a certain state, and what is to be interrupted there. */
export interface Scenario {
  readonly title: string;
  /** Brings the folder into that state. */
  prepare(of: TestConfiguration): Promise<void>;
  /** The arguments of the interrupted program. */
  args(of: TestConfiguration): readonly string[];
  readonly isRun: boolean;
  /** Programs that the interrupted one is started by. */
  readonly before?: readonly string[];
  /** Programs that become the interrupted one, and those that look after it. */
  readonly within?: (root: string) => readonly string[];
}

const runArgs = (of: TestConfiguration) => ["run", ...of.args, "--", ...harmlessCommand];
const secondConfiguration = (of: TestConfiguration) =>
  configuration(rootOf(of), "gen_IP2P", "Cityscapes", "segformer_mit-b5");
const rootOf = (of: TestConfiguration) => join(of.lockDir, "..");

/** Wrapper and command end together by SIGKILL: nothing of theirs runs any more, and nothing was given back. */
export async function leaveStaleClaim(of: TestConfiguration, within: readonly string[] = []): Promise<void> {
  const ended = await run([...within, executable, "run", ...of.args, "--", "sh", "-c", "kill -9 $PPID $$"]);
  if (ended.signal !== "SIGKILL") throw new Error(`was to be killed: ${JSON.stringify(ended)}`);
}

/** A PID that no process has had for long, as a job script that was killed leaves it. */
export async function leaveDeadJobsMarker(of: TestConfiguration): Promise<void> {
  mkdirSync(of.weightsDir, { recursive: true });
  const { stdout } = await run(["sh", "-c", "echo $$"]);
  writeFileSync(of.marker, stdout);
}

export async function leaveEmptyMarker(of: TestConfiguration): Promise<void> {
  mkdirSync(of.weightsDir, { recursive: true });
  writeFileSync(of.marker, "");
  const anHourAgo = Date.now() / 1000 - 3600;
  utimesSync(of.marker, anHourAgo, anHourAgo);
}

/** What the Python writer leaves when it is killed: its record, and nobody who holds the lock. */
async function leaveOldLockFile(of: TestConfiguration): Promise<void> {
  mkdirSync(of.lockDir, { recursive: true });
  const record = { strategy: of.strategy, dataset: "idd_aw", model: of.model, ratio: null, aux_loss: null };
  const owner = { job_id: "123456", hostname: "makalu94", pid: 4194000, user: "alice" };
  writeFileSync(
    of.kernelLock,
    JSON.stringify({ ...record, ...owner, acquired_at: "2026-01-12T16:49:29.536651" }, null, 2),
  );
}

async function completeRun(of: TestConfiguration): Promise<void> {
  const ended = await run([executable, ...runArgs(of)]);
  if (ended.exitCode !== 0) throw new Error(`was to succeed: ${JSON.stringify(ended)}`);
}

export const freshRun: Scenario = {
  title: "a first run in an empty folder",
  prepare: async () => {},
  args: runArgs,
  isRun: true,
};

export const scenarios: readonly Scenario[] = [
  freshRun,
  { title: "a run after another", prepare: completeRun, args: runArgs, isRun: true },
  {
    title: "a run after two others, whose lock file an old clear has removed",
    prepare: async (of) => {
      await completeRun(of);
      await completeRun(of);
      rmSync(of.kernelLock);
    },
    args: runArgs,
    isRun: true,
  },
  { title: "the takeover of a killed claim", prepare: leaveStaleClaim, args: runArgs, isRun: true },
  { title: "the takeover of an empty marker", prepare: leaveEmptyMarker, args: runArgs, isRun: true },
  { title: "the takeover of a dead Python job's lock file", prepare: leaveOldLockFile, args: runArgs, isRun: true },
  {
    title: "clear",
    prepare: async (of) => {
      await leaveStaleClaim(of);
      await leaveEmptyMarker(secondConfiguration(of));
    },
    args: (of) => ["clear", "--root", rootOf(of), "--no-dry-run"],
    isRun: false,
  },
];

const container = ["unshare", "--pid", "--fork", "--mount-proc"];

/** A container has PIDs of its own: outside, a marker from there names somebody else, or nobody. */
export const containerScenarios: readonly Scenario[] = [
  { title: "a first run, in a container", prepare: async () => {}, args: runArgs, isRun: true, before: container },
  {
    title: "the takeover in a container of a claim that died there before its record was written",
    prepare: async (of) => {
      const traced = await trace(runArgs(of), { inject: "rename:signal=SIGKILL:when=1", before: container });
      if (!existsSync(of.marker) || existsSync(of.markerRecord)) throw new Error(`was to die between: ${traced.log}`);
    },
    args: runArgs,
    isRun: true,
    before: container,
  },
];

const onLustre = (root: string) => lustreWithoutLocks(root).told;
const onLocalLustre = (root: string) => lustreWithoutLocks(root, "rw,localflock").told;

/** Takes the place of a dead one, by the marker alone, and dies right when it has the right to. */
async function leaveDeadHeir(of: TestConfiguration): Promise<void> {
  await leaveStaleClaim(of, onLustre(of.root));
  const within = onLustre(of.root);
  const traced = await trace(runArgs(of), { inject: "renameat2:signal=SIGKILL:when=1", within });
  if (!readdirSync(of.weightsDir).some((name) => name.endsWith(".next"))) throw new Error(traced.log);
}

/** Where no kernel lock keeps everybody out. */
export const sharedScenarios: readonly Scenario[] = [
  { title: "a first run, by the marker alone", prepare: async () => {}, args: runArgs, isRun: true, within: onLustre },
  {
    title: "the takeover of a killed claim, by the marker alone",
    prepare: (of) => leaveStaleClaim(of, onLustre(of.root)),
    args: runArgs,
    isRun: true,
    within: onLustre,
  },
  {
    title: "the takeover after another that was killed, by the marker alone",
    prepare: leaveDeadHeir,
    args: runArgs,
    isRun: true,
    within: onLustre,
  },
  {
    title: "the takeover of a killed claim, where kernel locks reach one host only",
    prepare: (of) => leaveStaleClaim(of, onLocalLustre(of.root)),
    args: runArgs,
    isRun: true,
    within: onLocalLustre,
  },
  {
    title: "clear, by the marker alone",
    prepare: (of) => leaveStaleClaim(of, onLustre(of.root)),
    args: (of) => ["clear", "--root", rootOf(of), "--no-dry-run"],
    isRun: false,
    within: onLustre,
  },
];

/** A root of its own for one interruption. */
export async function withScenario<T>(
  scenario: Scenario,
  use: (of: TestConfiguration, root: string) => Promise<T>,
): Promise<T> {
  const root = mkdtempSync(join(realpathSync(tmpdir()), "trainlock-crash-"));
  try {
    const of = configuration(root);
    await scenario.prepare(of);
    return await use(of, root);
  } finally {
    rmSync(root, { recursive: true, force: true, maxRetries: 5 });
  }
}

interface ListedLock {
  readonly kind: "file" | "fcntl";
  readonly status: string;
  readonly label: string;
  readonly path: string;
}

export async function listed(root: string, within: readonly string[] = []): Promise<readonly ListedLock[]> {
  const ended = await run([...within, executable, "list", "--root", root, "--json"]);
  if (ended.exitCode !== 0) throw new Error(`list failed: ${JSON.stringify(ended)}`);
  return (JSON.parse(ended.stdout) as { locks: ListedLock[] }).locks;
}

/** The highest generation that any record in the folder tells. */
export function recordedGeneration(of: TestConfiguration): number {
  const found = [of.kernelLock, of.markerRecord].map((path) => {
    try {
      const record = JSON.parse(readFileSync(path, "utf8")) as { trainlock?: { generation?: number } };
      return record.trainlock?.generation ?? 0;
    } catch {
      return 0;
    }
  });
  return Math.max(...found);
}

/** Names that should not be there once a run has ended: temporary files, a marker, anything unheard of. */
export function leftovers(of: TestConfiguration): string[] {
  const weights = namesIn(of.weightsDir).filter((name) => name !== ".training_lock.json");
  // A probe that was killed leaves its folder to the next `doctor`.
  const locks = namesIn(of.lockDir).filter((name) => !/\.lock$|^\.trainlock-doctor-|^history$/.test(name));
  return [...weights, ...locks];
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

/**
 * What must hold after any interruption, once everybody is dead: no ghost is shown as living, and the next run succeeds
 * without help, with a generation that no command has seen. Returns what does not.
 */
export async function recoveryFaults(
  of: TestConfiguration,
  root: string,
  generationsSeen: readonly number[],
  within: readonly string[] = [],
): Promise<string[]> {
  const faults: string[] = [];
  const livingNow = async () => (await listed(root, within)).filter(({ status }) => status === "active");
  // What was in a container ends a moment after its first process.
  let ghosts = await livingNow();
  for (let looks = 0; ghosts.length > 0 && looks < 20; looks += 1) {
    await sleep(100);
    ghosts = await livingNow();
  }
  faults.push(...ghosts.map(({ path }) => `${path} is listed as active, and nobody lives`));
  const recorded = recordedGeneration(of);
  const next = await run([...within, executable, "run", ...of.args, "--", ...harmlessCommand]);
  if (next.exitCode !== 0) faults.push(`the next run exits ${next.exitCode}: ${next.stderr.trim()}`);
  else {
    const generation = Number(next.stdout);
    const highest = Math.max(0, ...generationsSeen);
    if (!(generation > highest)) faults.push(`generation ${generation} after ${highest} had reached a command`);
    if (!(generation > recorded)) faults.push(`generation ${generation} after ${recorded} had been recorded`);
  }
  faults.push(...leftovers(of).map((name) => `${name} is left after the next run`));
  const remaining = (await listed(root, within)).filter(({ path }) => path === of.marker || path === of.kernelLock);
  faults.push(...remaining.map(({ path, label }) => `${path} is still listed as ${label} after the next run`));
  return faults;
}

export function generationsIn(stdout: string): number[] {
  return stdout
    .split("\n")
    .filter((line) => /^\d+$/.test(line))
    .map(Number);
}
