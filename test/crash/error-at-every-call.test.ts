import { describe, expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import {
  freshRun,
  generationsIn,
  listed,
  recordedGeneration,
  recoveryFaults,
  type Scenario,
  scenarios,
  withScenario,
} from "../support/scenarios.ts";
import { describePoint, inParallel, type Point, pointsIn, samePoint, type Traced, trace } from "../support/strace.ts";
import { tally, turnOf } from "../support/tally.ts";

const errnos = ["EIO", "ENOSPC", "ESTALE", "EINTR", "ENOLCK", "ENOSYS", "EACCES", "EROFS", "EMFILE"] as const;
type Errno = (typeof errnos)[number];

/** Without these there is no lock: the run is refused, with exit code 3. */
const indispensable = /^(open.*O_CREAT|mkdir|flock.*LOCK_EX|pwrite64|write|link|rename)/;

/** What tells who was there before: to read it wrongly is worse than not to be able to. */
const evidence = /^(open.*O_RDONLY|pread64).*\.training_lock/;

/** Where a run may go on all the same, and why that is right. Everything else before the command is refused. */
const exceptions: readonly { readonly calls: RegExp; readonly errnos: readonly Errno[]; readonly why: string }[] = [
  { calls: /./, errnos: ["EINTR"], why: "an interrupted call is made again, by the runtime or by us" },
  { calls: /^flock/, errnos: ["ESTALE"], why: "the file was removed on its server: its name is opened again" },
  { calls: /^link/, errnos: ["ENOSYS"], why: "without hard links the marker is created with O_EXCL" },
  { calls: /^renameat2/, errnos: ["ENOSYS"], why: "without an exchange the dead marker is renamed over" },
  { calls: /^statx/, errnos: ["ENOSYS"], why: "an older kernel has no statx: the runtime uses fstat" },
  {
    calls: /^(open.*(O_CREAT|\.lock|O_DIRECTORY)|mkdir)/,
    errnos: ["EACCES"],
    why: "a colleague's program may just be giving it to the group: what is seconds old is tried again",
  },
  {
    calls: /^(open.*O_DIRECTORY|mkdir)/,
    errnos: ["ESTALE"],
    why: "a folder that another host is making is looked for again",
  },
  {
    calls: /^(f?chmod|f?chown|getxattr)/,
    errnos,
    why: "mode and group are as good as can be had: the file works for its owner",
  },
  {
    calls: /^statx/,
    errnos,
    why: "those that only ask what mode a new file should have may fail; the others are refused",
  },
  { calls: /^close/, errnos, why: "the descriptor is gone in any case" },
  { calls: /^unlink.*\.tmp/, errnos, why: "the next run removes what this one could not" },
  {
    calls: /^open.*O_RDONLY|^pread64|^getdents64/,
    errnos,
    why: "who it was is not told then; that it is taken is asked with other calls",
  },
];

const everything = process.env.TRAINLOCK_SOAK === "1";

describe("an error of a system call is told, and never looks like a lock", () => {
  for (const scenario of scenarios) {
    requiresPrograms("strace")(
      scenario.title,
      async () => {
        const points = await withScenario(scenario, async (of, root) =>
          pointsIn((await trace(scenario.args(of))).calls, root),
        );
        const chosen = chooseErrors(scenario, points);
        const outcomes = await inParallel(chosen, (each) => failAt(scenario, each, points));
        const injected = outcomes.filter(({ happened }) => happened).length;
        const refused = outcomes.filter(({ exitCode }) => exitCode === 3).length;
        tally({ errorsInjected: injected });
        console.info(`errors injected, ${scenario.title}: ${injected}, of which refused: ${refused}`);
        expect(outcomes.flatMap(({ faults }) => faults)).toEqual([]);
        expect(injected).toBeGreaterThan(chosen.length * 0.7);
      },
      900_000,
    );
  }
});

interface Injection {
  readonly point: Point;
  readonly errno: Errno;
}

/** In a soak every errno at every call, by turns; otherwise one or two where it matters, and one at each second call elsewhere. */
function chooseErrors(scenario: Scenario, points: readonly Point[]): Injection[] {
  const calls = points.filter(({ name }) => name !== "exit_group");
  if (everything) return turnOf(calls.flatMap((point) => errnos.map((errno) => ({ point, errno }))));
  return calls.flatMap((point, index) => {
    const matters = indispensable.test(point.text);
    const isChosen = index % 2 === 0 && (scenario === freshRun || evidence.test(point.text));
    if (!matters && !isChosen) return [];
    const many = matters && scenario === freshRun ? 2 : 1;
    return Array.from({ length: many }, (_, more) => ({
      point,
      errno: errnos[(index + 2 * more) % errnos.length] ?? "EIO",
    }));
  });
}

interface Outcome {
  readonly happened: boolean;
  readonly exitCode: number | null;
  readonly faults: readonly string[];
}

const mostTries = 4;

async function failAt(
  scenario: Scenario,
  injection: Injection,
  recorded: readonly Point[],
  tries = 1,
): Promise<Outcome> {
  const outcome = await tryToFailAt(scenario, injection, recorded);
  if (outcome.happened || outcome.instead === undefined || tries === mostTries) return outcome;
  return failAt(scenario, { ...injection, point: outcome.instead }, outcome.recorded, tries + 1);
}

function tryToFailAt(
  scenario: Scenario,
  { point: wanted, errno }: Injection,
  recorded: readonly Point[],
): Promise<Outcome & { readonly instead?: Point | undefined; readonly recorded: readonly Point[] }> {
  const { name, nth } = wanted;
  return withScenario(scenario, async (of, root) => {
    const generationBefore = recordedGeneration(of);
    const lockedBefore = (await listed(root)).map(({ path }) => path);
    const traced = await trace(scenario.args(of), { inject: `${name}:error=${errno}:when=${nth}` });
    // Not every run makes the same number of calls: what it happened to is what counts.
    const points = pointsIn(traced.calls, root);
    const point = points.find((call) => call.name === name && call.nth === nth);
    if (point === undefined) {
      const instead = samePoint(wanted, recorded, points);
      return { happened: false, exitCode: null, faults: [], instead, recorded: points };
    }
    const faults = scenario.isRun
      ? runFaults(point, errno, traced, root, generationBefore)
      : clearFaults(namesOf(point, errno), traced, root);
    if (scenario.isRun && traced.exitCode === 3) {
      const left = (await listed(root)).filter(({ path }) => !lockedBefore.includes(path));
      faults.push(...left.map(({ path, label }) => `refused, and yet it left ${path.replace(root, "ROOT")}, ${label}`));
    }
    faults.push(...(await recoveryFaults(of, root, [generationBefore, ...generationsIn(traced.stdout)])));
    const where = `${errno} of ${describePoint(point, root)}`;
    const told = faults.map((fault) => `${where}: ${fault}`);
    return { happened: true, exitCode: traced.exitCode, faults: told, recorded: points };
  });
}

function runFaults(point: Point, errno: Errno, traced: Traced, root: string, generationBefore: number): string[] {
  const { exitCode, stdout } = traced;
  const generations = generationsIn(stdout);
  if (point.phase !== "before the command") {
    // It trains, or has: an error of ours must not end it, nor change how it ended.
    return exitCode === 0 && generations.length === 1 ? [] : [`exit ${exitCode}: ${traced.stderr}`];
  }
  const mayGoOn = exceptions.some(({ calls, errnos: which }) => calls.test(point.text) && which.includes(errno));
  if (exitCode === 0 && mayGoOn) {
    const [generation] = generations;
    return generation !== undefined && generation > generationBefore
      ? []
      : [`generation ${generation} after ${generationBefore}`];
  }
  // Somebody put it there and lets nobody read it: that is a marker, whatever it says.
  if (exitCode === 75 && errno === "EACCES" && /^open.*\.training_lock"/.test(point.text)) return [];
  if (exitCode !== 3) return [`exit ${exitCode}, not 3: ${traced.stderr.trim()}`];
  const faults = stdout === "" ? [] : [`refused, and yet started: ${stdout}`];
  return [...faults, ...messageFaults(namesOf(point, errno), traced, root)];
}

/** The runtime tells most errors of getdents64 as EIO. */
function namesOf({ name }: Point, errno: Errno): readonly Errno[] {
  return name === "getdents64" ? [errno, "EIO"] : [errno];
}

function clearFaults(names: readonly Errno[], traced: Traced, root: string): string[] {
  if (traced.exitCode === 0) return [];
  if (traced.exitCode !== 3) return [`exit ${traced.exitCode}, neither 0 nor 3: ${traced.stderr}`];
  return messageFaults(names, traced, root);
}

function messageFaults(names: readonly Errno[], { stdout, stderr }: Traced, root: string): string[] {
  const told = `${stdout}${stderr}`;
  const faults: string[] = [];
  if (!names.some((name) => told.includes(name))) faults.push(`the errno is not named: ${told.trim()}`);
  if (!told.includes(root)) faults.push(`no path is named: ${told.trim()}`);
  if (/defect|unknown error|at .*\.ts:/.test(told)) faults.push(`told as a defect of the program: ${told.trim()}`);
  if (/already training|SKIP/.test(told)) faults.push(`told as a lock: ${told.trim()}`);
  return faults;
}
