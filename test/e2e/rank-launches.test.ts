import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, test } from "vitest";
import { sleep } from "../../src/system/clock/sleep.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type RunningProcess, startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

type Environment = Readonly<Record<string, string>>;

/** Starts ranks of one launch as its children, waits for them, and prints each one's exit code. */
const launcher = `
name=$1 ranks=$2; shift 2
for r in $ranks; do env "$name=$r" MY_RANK=$r "$@" & pids="$pids $!"; done
echo "pids$pids"
set -- $ranks
for p in $pids; do wait $p; echo "rank $1 exit $?"; shift; done
`;

/** Notes its beginning and its end; between them it lasts for so many seconds, or until its launch is let go. */
const training = `
[ -z "$DEAF" ] || trap '' TERM
echo "$2 $1 begin $EPOCHREALTIME" >> "$3/log"
if [ "$0" = go ]; then for ((i = 0; i < 600; i++)); do [ -e "$3/go.$2" ] && break; echo "$2 $1 goes-on $EPOCHREALTIME" >> "$3/log"; sleep 0.05; done; else sleep "$0"; fi
echo "$2 $1 end $EPOCHREALTIME" >> "$3/log"
`;
const letGo = ({ root }: TestConfiguration, label: string) => writeFileSync(join(root, `go.${label}`), "");

interface LaunchOptions {
  readonly ranks?: readonly number[];
  readonly seconds?: number | "go";
  readonly options?: readonly string[];
  /** What stands between the launcher and each rank. */
  readonly around?: readonly string[];
  /** What the launcher runs in. */
  readonly inside?: readonly string[];
  /** The launcher's own call, up to its arguments. */
  readonly launcherCall?: readonly string[];
}

function launch(of: TestConfiguration, label: string, env: Environment, how: LaunchOptions = {}): RunningProcess {
  const {
    ranks = [0, 1],
    seconds = 0.5,
    options = [],
    around = [],
    inside = [],
    launcherCall = ["bash", "-c", launcher, "sh"],
  } = how;
  const run = ["run", ...of.args, "--ranks", "job", "--kill-after", "3s", ...options, "--"];
  const inner = ["bash", "-c", `set -- "$MY_RANK" ${label} ${of.root}; ${training}`];
  const command = [...inner, String(seconds)];
  const call = [
    ...inside,
    ...launcherCall,
    rankVariable(env),
    ranks.join(" "),
    ...around,
    executable,
    ...run,
    ...command,
  ];
  const [file = "", ...args] = call;
  return startProcess(file, args, { env: environment(env), timeoutMs: 40_000 });
}

function rankVariable(env: Environment): string {
  if ("WORLD_SIZE" in env) return "RANK";
  return "OMPI_COMM_WORLD_SIZE" in env ? "OMPI_COMM_WORLD_RANK" : "SLURM_PROCID";
}

async function codesOf(running: RunningProcess): Promise<number[]> {
  const { stdout } = await running.finished;
  return [...stdout.matchAll(/exit (\d+)/g)].map((match) => Number(match[1]));
}

function logOf({ root }: TestConfiguration): { label: string; rank: string; what: string; at: number }[] {
  const path = join(root, "log");
  if (!existsSync(path)) return [];
  return readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const [label = "", rank = "", what = "", at = "0"] = line.split(" ");
      return { label, rank, what, at: Number(at) };
    });
}

const beginnings = (of: TestConfiguration) => logOf(of).filter(({ what }) => what === "begin").length;

/** Of which launches ranks trained, in the order of their beginnings; fails where two launches trained at once. */
function trainedInTurn(of: TestConfiguration): Record<string, string[]> {
  const log = logOf(of);
  const spans = [...new Set(log.map(({ label }) => label))].map((label) => {
    const own = log.filter((line) => line.label === label);
    const begun = own.filter(({ what }) => what === "begin");
    return { label, ranks: begun.map(({ rank }) => rank).sort(), times: own.map(({ at }) => at) };
  });
  for (const a of spans)
    for (const b of spans) {
      const apart =
        a === b || Math.max(...a.times) < Math.min(...b.times) || Math.max(...b.times) < Math.min(...a.times);
      expect(apart, `${a.label} and ${b.label} at once`).toBe(true);
    }
  return Object.fromEntries(spans.map(({ label, ranks }) => [label, ranks]));
}

const filesLeft = ({ lockDir, kernelLock }: TestConfiguration) =>
  readdirSync(lockDir).filter((name) => name !== basename(kernelLock) && name !== "history");

const torchrun = {
  ...{ WORLD_SIZE: "2", LOCAL_WORLD_SIZE: "2", GROUP_RANK: "0", MASTER_ADDR: "127.0.0.1", MASTER_PORT: "29500" },
  ...{ TORCHELASTIC_RUN_ID: "none", TORCHELASTIC_RESTART_COUNT: "0" },
};

/** What launchers say of themselves where nobody has given the launch a name. */
const environments: Readonly<Record<string, Environment>> = {
  "torchrun with its defaults": torchrun,
  "RANK and WORLD_SIZE with a loopback address": { WORLD_SIZE: "2", MASTER_ADDR: "localhost", MASTER_PORT: "29500" },
  "RANK and WORLD_SIZE alone": { WORLD_SIZE: "2" },
  "an address that is named, without torchrun": { WORLD_SIZE: "2", MASTER_ADDR: "node01", MASTER_PORT: "29500" },
  "torchrun within one batch job": { ...torchrun, SLURM_JOB_ID: "7" },
  "a job step that gives RANK": {
    ...{ WORLD_SIZE: "2", MASTER_ADDR: "node01", MASTER_PORT: "29500" },
    ...{ SLURM_JOB_ID: "7", SLURM_STEP_ID: "0", SLURM_STEP_NUM_TASKS: "2" },
  },
  "mpirun without a namespace": { OMPI_COMM_WORLD_SIZE: "2", OMPI_COMM_WORLD_LOCAL_SIZE: "2" },
  "srun, of one step again and again": { SLURM_JOB_ID: "7", SLURM_STEP_ID: "0", SLURM_STEP_NUM_TASKS: "2" },
};

test.each(Object.entries(environments))(
  "launches by %s: one beside another trains with no rank and disturbs none, one after it with all",
  async (_, env) => {
    const of = configuration(await temporaryRoot());
    const first = launch(of, "first", env, { seconds: "go" });
    await until("the first to train", () => (beginnings(of) >= 2 ? true : null));
    expect(await codesOf(launch(of, "beside", env))).toEqual([75, 75]);
    letGo(of, "first");
    expect(await codesOf(first)).toEqual([0, 0]);
    expect(await codesOf(launch(of, "after", env, { seconds: 0.1, ranks: [1, 0] }))).toEqual([0, 0]);
    expect(trainedInTurn(of)).toEqual({ first: ["0", "1"], after: ["0", "1"] });
    expect(filesLeft(of)).toEqual([]);
  },
);

describe("launches of one host", () => {
  test("at the same instant: one trains with all its ranks, each of the others with none", async () => {
    const of = configuration(await temporaryRoot());
    const labels = ["a", "b", "c"];
    const runs = labels.map((label) => launch(of, label, torchrun, { seconds: 2 }));
    const codes = await Promise.all(runs.map(codesOf));
    const winner = codes.findIndex(([code]) => code === 0);
    expect(codes).toEqual(labels.map((__, index) => (index === winner ? [0, 0] : [75, 75])));
    expect(trainedInTurn(of)).toEqual({ [labels[winner] ?? ""]: ["0", "1"] });
  });

  test("at the same instant and patient: each trains in its turn", async () => {
    const of = configuration(await temporaryRoot());
    const options = ["--wait"];
    const runs = ["a", "b", "c"].map((label) => launch(of, label, torchrun, { options, ranks: [1, 0] }));
    expect(await Promise.all(runs.map(codesOf))).toEqual([
      [0, 0],
      [0, 0],
      [0, 0],
    ]);
    expect(trainedInTurn(of)).toEqual({ a: ["0", "1"], b: ["0", "1"], c: ["0", "1"] });
    expect(filesLeft(of)).toEqual([]);
  });

  test("again and again by one process, which is the parent of all their ranks", async () => {
    const of = configuration(await temporaryRoot());
    const thrice = `launch() { ${launcher} }\nfor n in 1 2 3; do launch "$@"; pids=; done`;
    const running = launch(of, "same", torchrun, { seconds: 0.1, launcherCall: ["bash", "-c", thrice, "sh"] });
    expect(await codesOf(running)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(filesLeft(of)).toEqual([]);
  });

  test.each([
    ["wrappers", 75],
    ["wrappers and commands", 0],
    ["wrapper of rank 0", 75],
  ] as const)("again after the %s were killed: nothing trains beside what is left", async (what, code) => {
    const of = configuration(await temporaryRoot());
    const first = launch(of, "first", torchrun, { seconds: "go" });
    await until("the first to train", () => (beginnings(of) >= 2 ? true : null));
    const wrappers = (/pids (.*)/.exec(first.stdout())?.[1] ?? "").split(" ").map(Number);
    const commands = wrappers.flatMap(childrenOf);
    const [wrapperOf0 = 0] = wrappers;
    const killed = {
      wrappers,
      "wrappers and commands": [...wrappers, ...commands],
      "wrapper of rank 0": [wrapperOf0],
    }[what];
    for (const pid of killed) process.kill(pid, "SIGKILL");
    if (code === 0) await first.finished;
    expect(await codesOf(launch(of, "second", torchrun))).toEqual([code, code]);
    letGo(of, "first");
    await first.finished;
    await until("the commands to end", () => (commands.some(isRunning) ? null : true));
    expect(await codesOf(launch(of, "third", torchrun))).toEqual([0, 0]);
    trainedInTurn(of);
    expect(filesLeft(of)).toEqual([]);
  });

  test("a rank 0 that was killed before it could say anything is not waited for", async () => {
    const of = configuration(await temporaryRoot());
    const around = ["bash", "-c", '[ $MY_RANK = 1 ] && sleep 1; exec "$@"', "sh"];
    // The lock is another's for a while, so that rank 0 is killed while it asks.
    const holder = await holdWithRun(of.args);
    const running = launch(of, "killed", torchrun, { around, options: ["--wait"] });
    await until("rank 0 to ask", () => (filesLeft(of).length > 0 ? true : null));
    const [rank0 = 0] = (/pids (.*)/.exec(running.stdout())?.[1] ?? "").split(" ").map(Number);
    process.kill(rank0, "SIGKILL");
    expect(await codesOf(running)).toEqual([137, 3]);
    expect(running.stderr()).toContain("rank 0 has ended before this rank had started");
    holder.closeInput();
    await holder.finished;
    expect(await codesOf(launch(of, "again", torchrun))).toEqual([0, 0]);
  });

  test("a rank 0 that comes late, and one that comes first", async () => {
    const of = configuration(await temporaryRoot());
    for (const [label, late] of [
      ["late", "0"],
      ["early", "1"],
    ] as const) {
      const around = ["bash", "-c", `[ $MY_RANK = ${late} ] && sleep 2; exec "$@"`, "sh"];
      expect(await codesOf(launch(of, label, torchrun, { around }))).toEqual([0, 0]);
    }
    expect(trainedInTurn(of)).toEqual({ late: ["0", "1"], early: ["0", "1"] });
  });
});

function childrenOf(pid: number): number[] {
  const path = `/proc/${pid}/task/${pid}/children`;
  return existsSync(path) ? readFileSync(path, "utf8").trim().split(" ").filter(Boolean).map(Number) : [];
}

describe("ranks that cannot be told from those of another launch", () => {
  const apart = { around: ["bash", "-c", '"$@"; exit $?', "sh"] };
  const cases: readonly [string, Environment, LaunchOptions][] = [
    ["of several hosts with torchrun's run id", { ...torchrun, WORLD_SIZE: "4", MASTER_ADDR: "node01" }, {}],
    ["of several hosts that meet at a loopback address", { ...torchrun, WORLD_SIZE: "4" }, {}],
    ["with a parent each", torchrun, apart],
    ["with a parent each, by plain variables", { WORLD_SIZE: "2", MASTER_ADDR: "127.0.0.1" }, apart],
    [
      "of mpirun on several hosts, without a namespace",
      { OMPI_COMM_WORLD_SIZE: "4", OMPI_COMM_WORLD_LOCAL_SIZE: "2" },
      {},
    ],
  ];

  test.each(cases)("%s: exit code 2 before anything starts, with the way out", async (_, env, how) => {
    const of = configuration(await temporaryRoot());
    const running = launch(of, "unclear", env, how);
    expect(await codesOf(running)).toEqual([2, 2]);
    expect(running.stderr()).toContain("TRAINLOCK_LAUNCH");
    expect(running.stderr()).toContain("--rdzv_id");
    expect(logOf(of)).toEqual([]);
    // The way out is one.
    const named = { ...env, TRAINLOCK_LAUNCH: "1764115200" };
    const size = Object.fromEntries(
      Object.keys(env).flatMap((key) => (key.endsWith("WORLD_SIZE") ? [[key, "2"]] : [])),
    );
    expect(await codesOf(launch(of, "named", { ...named, ...size }, how))).toEqual([0, 0]);
    expect(trainedInTurn(of)).toEqual({ named: ["0", "1"] });
  });
});

const withContainers = requiresPrograms("unshare --pid");
const host = (name: string) => [
  "unshare",
  "--pid",
  "--fork",
  "--mount-proc",
  "--kill-child",
  "--uts",
  "sh",
  "-c",
  `hostname ${name} && exec "$@"`,
  "sh",
];

describe("launches on several hosts", () => {
  const named = {
    ...torchrun,
    WORLD_SIZE: "2",
    LOCAL_WORLD_SIZE: "1",
    MASTER_ADDR: "node01",
    TORCHELASTIC_RUN_ID: "r42",
  };
  const start = (of: TestConfiguration, label: string, env: Environment, how: LaunchOptions = {}) =>
    [0, 1].map((rank) =>
      launch(of, label, { ...env, GROUP_RANK: `${rank}` }, { ...how, ranks: [rank], inside: host(`node0${rank + 1}`) }),
    );
  const codes = async (runs: readonly RunningProcess[]) => (await Promise.all(runs.map(codesOf))).flat();

  withContainers("one after the other, with one run id", async () => {
    const of = configuration(await temporaryRoot());
    for (const label of ["first", "second"]) expect(await codes(start(of, label, named))).toEqual([0, 0]);
    expect(trainedInTurn(of)).toEqual({ first: ["0", "1"], second: ["0", "1"] });
    expect(filesLeft(of)).toEqual([]);
  });

  withContainers("a second one beside the first, with one run id", async () => {
    const of = configuration(await temporaryRoot());
    const first = start(of, "first", named, { seconds: "go" });
    await until("the first to train", () => (beginnings(of) >= 2 ? true : null));
    expect(await codes(start(of, "second", named))).toEqual([75, 75]);
    letGo(of, "first");
    expect(await codes(first)).toEqual([0, 0]);
    expect(trainedInTurn(of)).toEqual({ first: ["0", "1"] });
  });

  withContainers("two hosts with torchrun's defaults each are two launches", async () => {
    const of = configuration(await temporaryRoot());
    const [a, b] = ["a", "b"].map((label) => launch(of, label, torchrun, { seconds: 2, inside: host(label) }));
    if (a === undefined || b === undefined) throw new Error("two were started");
    const ended = [await codesOf(a), await codesOf(b)].sort();
    expect(ended).toEqual([
      [0, 0],
      [75, 75],
    ]);
    expect(Object.keys(trainedInTurn(of))).toHaveLength(1);
  });

  withContainers("when the host of rank 0 is gone, nobody trains before the other ranks have ended", async () => {
    const of = configuration(await temporaryRoot());
    const [first, second] = start(of, "first", { ...named, DEAF: "1" }, { seconds: "go" });
    if (first === undefined || second === undefined) throw new Error("two were started");
    await until("both to train", () => (beginnings(of) >= 2 ? true : null));
    await sleep(1500);
    first.kill("SIGKILL");
    const waiting = startTrainlock([
      "run",
      ...of.args,
      "--wait",
      "--",
      "bash",
      "-c",
      training,
      "0",
      "x",
      "next",
      of.root,
    ]);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    expect((await trainlock(["clear", "--root", of.root, "--no-dry-run"])).stdout).toContain("No stale locks");
    expect(await codesOf(second)).toEqual([74]);
    expect(second.stderr()).toContain("rank 0 is gone");
    expect(await waiting.finished).toMatchObject({ exitCode: 0 });
    expect(Object.keys(trainedInTurn(of))).toEqual(["first", "next"]);
  });

  withContainers("a command of another host whose wrapper was killed is waited for", async () => {
    const of = configuration(await temporaryRoot());
    const [first, second] = start(of, "first", named, { seconds: "go" });
    if (first === undefined || second === undefined) throw new Error("two were started");
    await until("both to train", () => (beginnings(of) >= 2 ? true : null));
    await sleep(1500);
    const wrapper = Number(
      execFileSync("pgrep", ["-f", `^${executable} run --root ${of.root} .* --ranks`], { encoding: "utf8" })
        .trim()
        .split("\n")
        .at(-1),
    );
    process.kill(wrapper, "SIGKILL");
    await sleep(100);
    expect(await codesOf(launch(of, "beside", torchrun))).toEqual([75, 75]);
    letGo(of, "first");
    await first.finished;
    expect(await codesOf(launch(of, "after", torchrun))).toEqual([0, 0]);
    expect(Object.keys(trainedInTurn(of))).toEqual(["first", "after"]);
  });
});
