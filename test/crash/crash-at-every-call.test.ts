import { describe, expect } from "vitest";
import { type Requirement, requiresPrograms } from "../support/requirements.ts";
import {
  containerScenarios,
  generationsIn,
  recordedGeneration,
  recoveryFaults,
  type Scenario,
  scenarios,
  sharedScenarios,
  withScenario,
} from "../support/scenarios.ts";
import { describePoint, inParallel, type Point, pointsIn, trace } from "../support/strace.ts";
import { tally } from "../support/tally.ts";

/** Between two of these nothing changes on disk, so that being killed before the one or the other is much the same. */
const changes = /^(open.*O_CREAT|flock|pwrite64|write|link|rename|unlink|mkdir|ftruncate|exit_group)/;
const everything = process.env.TRAINLOCK_SOAK === "1";

/** In a soak every call; otherwise those that change something, and every third of the others in the first scenario. */
function chosenFrom(points: readonly Point[], scenario: Scenario): Point[] {
  const isChosen = (index: number) => scenario === scenarios[0] && index % 3 === 0;
  return points.filter(({ text }, index) => everything || isChosen(index) || changes.test(text));
}

describe("killed at a system call, the next run needs no help", () => {
  for (const scenario of [...scenarios, ...containerScenarios, ...sharedScenarios]) {
    requiresPrograms("strace", ...namespacesOf(scenario))(
      scenario.title,
      async () => {
        const points = await recordedPoints(scenario);
        const chosen = chosenFrom(points, scenario);
        const outcomes = await inParallel(chosen, (point) => crashAt(scenario, point));
        const killed = outcomes.filter(({ killedThere }) => killedThere).length;
        const ended = outcomes.filter(({ endedBefore }) => endedBefore).length;
        const elsewhere = outcomes.filter(({ killedElsewhere }) => killedElsewhere).length;
        tally({ crashPoints: killed, kills: killed });
        console.info(`crash points, ${scenario.title}: ${killed} of ${points.length} calls`);
        expect(outcomes.flatMap(({ faults }) => faults)).toEqual([]);
        // A run in which the command took longer has one more of the holder's checks in it, at its end.
        // And strace counts each thread's calls: one that helps with a listing may come to that number first.
        expect(killed + ended + elsewhere).toBe(chosen.length);
        expect(killed).toBeGreaterThan(chosen.length / 2);
      },
      600_000,
    );
  }
});

function namespacesOf({ before, within }: Scenario): Requirement[] {
  return [
    ...(before === undefined ? [] : (["unshare --pid"] as const)),
    ...(within === undefined ? [] : (["unshare --mount"] as const)),
  ];
}

function startedBy({ before = [], within }: Scenario, root: string) {
  return { before, within: within?.(root) ?? [] };
}

function recordedPoints(scenario: Scenario): Promise<Point[]> {
  return withScenario(scenario, async (of, root) => {
    const traced = await trace(scenario.args(of), startedBy(scenario, root));
    expect(traced).toMatchObject({ exitCode: 0 });
    return pointsIn(traced.calls, root);
  });
}

interface Outcome {
  readonly killedThere: boolean;
  readonly endedBefore: boolean;
  readonly killedElsewhere: boolean;
  readonly faults: readonly string[];
}

function crashAt(scenario: Scenario, point: Point): Promise<Outcome> {
  return withScenario(scenario, async (of, root) => {
    const before = recordedGeneration(of);
    const { name, nth } = point;
    const traced = await trace(scenario.args(of), {
      ...startedBy(scenario, root),
      inject: `${name}:signal=SIGKILL:when=${nth}`,
    });
    const last = traced.calls.findLast(({ thread }) => thread === traced.calls[0]?.thread);
    const killedThere = last?.name === name && last.nth === nth;
    // A thread that writes the history may come to that number first; a container tells of it by exit code.
    const killedElsewhere = (traced.signal === "SIGKILL" || traced.exitCode === 137) && !killedThere;
    const faults = await recoveryFaults(of, root, [before, ...generationsIn(traced.stdout)], scenario.within?.(root));
    return {
      killedThere,
      killedElsewhere,
      endedBefore: last?.name === "exit_group" && !killedThere && !killedElsewhere,
      faults: faults.map((fault) => `killed at ${describePoint(point, root)}: ${fault}`),
    };
  });
}
