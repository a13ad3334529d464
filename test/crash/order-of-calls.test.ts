import { describe, expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { freshRun, leaveStaleClaim, type Scenario, withScenario } from "../support/scenarios.ts";
import { pointsIn, type TracedCall, trace } from "../support/strace.ts";

/**
 * The order that keeps a claim safe, as the model in test/properties has it. What only looks, makes folders or sets modes
 * may come anywhere.
 */
const steps: readonly (readonly [RegExp, string])[] = [
  [/^flock.*\.lock>.*LOCK_EX/, "lock"],
  [/^flock.*\.lock>.*LOCK_UN/, "unlock"],
  [/^pwrite64.*\.lock>/, "record in the lock file"],
  [/^link.*\.tmp", .*\.training_lock"/, "place the marker"],
  [/^renameat2.*\.training_lock", RENAME_EXCHANGE/, "exchange the marker"],
  [/^rename.*\.training_lock\.json"/, "record beside the marker"],
  [/^unlink\(.*\.training_lock"/, "remove the marker"],
  [/^unlink\(.*\.lock"/, "unlink the lock file"],
  [/^execve/, "start the command"],
];

async function stepsOf(scenario: Scenario): Promise<string[]> {
  return withScenario(scenario, async (of, root) => {
    const traced = await trace(scenario.args(of));
    expect(traced.exitCode).toBe(0);
    const main = traced.calls[0]?.thread;
    const start = traced.calls.find(({ name, thread }) => name === "execve" && thread !== main);
    const own = new Set<TracedCall["text"]>(pointsIn(traced.calls, root).map(({ text }) => text));
    const order = traced.calls.filter((call) => call === start || (call.thread === main && own.has(call.text)));
    return order.flatMap(({ text }) => steps.filter(([call]) => call.test(text)).map(([, step]) => step));
  });
}

/** The same step several times in a row is one step to the model. */
const withoutRepeats = (order: readonly string[]) => order.filter((step, index) => step !== order[index - 1]);

describe("the executable takes the steps of the model, in its order", () => {
  requiresPrograms("strace")("a claim where nothing was", async () => {
    const order = withoutRepeats(await stepsOf(freshRun));
    const [before, after] = [
      order.slice(0, order.indexOf("start the command")),
      order.slice(order.indexOf("start the command") + 1),
    ];
    expect(before).toEqual(["lock", "record in the lock file", "place the marker", "record beside the marker"]);
    expect(after.slice(-3)).toEqual(["remove the marker", "record in the lock file", "unlock"]);
    expect(order).not.toContain("unlink the lock file");
  });

  requiresPrograms("strace")("a takeover", async () => {
    const killed: Scenario = { ...freshRun, title: "killed", prepare: leaveStaleClaim };
    const order = withoutRepeats(await stepsOf(killed));
    const before = order.slice(0, order.indexOf("start the command"));
    expect(before).toEqual(["lock", "record in the lock file", "exchange the marker", "record beside the marker"]);
    expect(order.slice(-3)).toEqual(["remove the marker", "record in the lock file", "unlock"]);
    expect(order).not.toContain("unlink the lock file");
  });
});
