import { describe, expect } from "vitest";
import { requiresPrograms } from "../support/crash-requirements.ts";
import {
  generationsIn,
  recordedGeneration,
  recoveryFaults,
  type Scenario,
  scenarios,
  withScenario,
} from "../support/crash-scenarios.ts";
import { describePoint, inParallel, type Point, pointsIn, trace } from "../support/crash-strace.ts";

/** In a soak every point of every scenario; otherwise every point of the first one and every third of the others. */
const everything = process.env.TRAINLOCK_SOAK === "1";
const strideOf = (scenario: Scenario) => (everything || scenario === scenarios[0] ? 1 : 3);

describe("killed at a system call, the next run needs no help", () => {
  for (const scenario of scenarios) {
    requiresPrograms("strace")(
      scenario.title,
      async () => {
        const points = await recordedPoints(scenario);
        const chosen = points.filter((_, index) => index % strideOf(scenario) === 0);
        const outcomes = await inParallel(chosen, (point) => crashAt(scenario, point));
        const killed = outcomes.filter(({ killedThere }) => killedThere).length;
        console.info(`crash points, ${scenario.title}: ${killed} of ${points.length} calls`);
        expect(outcomes.flatMap(({ faults }) => faults)).toEqual([]);
        // The calls come in the same order every time, but for one or two that a timer or a thread moves.
        expect(killed).toBeGreaterThanOrEqual(Math.floor(chosen.length * 0.9));
      },
      600_000,
    );
  }
});

function recordedPoints(scenario: Scenario): Promise<Point[]> {
  return withScenario(scenario, async (of, root) => {
    const traced = await trace(scenario.args(of));
    expect(traced).toMatchObject({ exitCode: 0 });
    return pointsIn(traced.calls, root);
  });
}

function crashAt(scenario: Scenario, point: Point): Promise<{ killedThere: boolean; faults: string[] }> {
  return withScenario(scenario, async (of, root) => {
    const before = recordedGeneration(of);
    const { name, nth } = point;
    const traced = await trace(scenario.args(of), { inject: `${name}:signal=SIGKILL:when=${nth}` });
    const last = traced.calls.findLast(({ thread }) => thread === traced.calls[0]?.thread);
    const killedThere = traced.log.includes("+++ killed by SIGKILL +++") && last?.name === name && last.nth === nth;
    const faults = await recoveryFaults(of, root, [before, ...generationsIn(traced.stdout)]);
    return { killedThere, faults: faults.map((fault) => `killed at ${describePoint(point, root)}: ${fault}`) };
  });
}
