import { readFileSync, truncateSync, writeFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import {
  freshRun,
  generationsIn,
  harmlessCommand,
  leaveStaleClaim,
  recordedGeneration,
  recoveryFaults,
  type Scenario,
  scenarios,
  withScenario,
} from "../support/scenarios.ts";
import { inParallel } from "../support/strace.ts";
import { tally, turnOf } from "../support/tally.ts";
import { executable, run } from "../support/trainlock.ts";

const everything = process.env.TRAINLOCK_SOAK === "1";

/** Every length from nothing to whole, or a sample with both ends in it. */
function lengths(whole: number, step: number): number[] {
  const all = Array.from({ length: whole + 1 }, (_, length) => length);
  if (everything) return turnOf(all);
  return all.filter((length) => length < 3 || length > whole - 3 || length % step === 0);
}

describe("a record that was cut short", () => {
  const cut: readonly { title: string; scenario: Scenario; which: "kernelLock" | "markerRecord" }[] = [
    { title: "the lock file of a killed claim", scenario: killed(), which: "kernelLock" },
    { title: "the record beside the marker of a killed claim", scenario: killed(), which: "markerRecord" },
    { title: "the lock file after a release", scenario: released(), which: "kernelLock" },
    { title: "the record in the folder after a release", scenario: released(), which: "markerRecord" },
  ];
  test.each(cut)(
    "$title",
    async ({ scenario, which }) => {
      const whole = await withScenario(scenario, async (of) => readFileSync(of[which]).length);
      const faults = await inParallel(lengths(whole, 211), (length) =>
        withScenario(scenario, async (of, root) => {
          const before = recordedGeneration(of);
          truncateSync(of[which], length);
          return (await recoveryFaults(of, root, [before])).map((fault) => `cut to ${length} of ${whole}: ${fault}`);
        }),
      );
      tally({ recordsCut: faults.length });
      expect(faults.flat()).toEqual([]);
    },
    300_000,
  );

  test("zeros where the record was, as after a power cut", async () => {
    const faults = await inParallel(["kernelLock", "markerRecord"] as const, (which) =>
      withScenario(killed(), async (of, root) => {
        const before = recordedGeneration(of);
        writeFileSync(of[which], Buffer.alloc(readFileSync(of[which]).length));
        return (await recoveryFaults(of, root, [before])).map((fault) => `${which}: ${fault}`);
      }),
    );
    expect(faults.flat()).toEqual([]);
  });

  requiresPrograms("prlimit")(
    "a write that the file size limit ends early",
    async () => {
      const runs = [freshRun, ...scenarios.filter(({ title }) => title === "the takeover of a killed claim")];
      const jobs = runs.flatMap((scenario) => lengths(1_200, 131).map((limit) => ({ scenario, limit })));
      const outcomes = await inParallel(jobs, ({ scenario, limit }) =>
        withScenario(scenario, async (of, root) => {
          const before = recordedGeneration(of);
          const limited = ["prlimit", `--fsize=${limit}`, executable, "run", ...of.args, "--", ...harmlessCommand];
          const { exitCode, signal, stdout, stderr } = await run(limited);
          const faults = await recoveryFaults(of, root, [before, ...generationsIn(stdout)]);
          const refused =
            exitCode === 3 && stdout === "" && /EFBIG.*\n.*`ulimit -f`/.test(stderr) && stderr.includes(root);
          const died = signal === "SIGXFSZ" || exitCode === 128 + 25;
          const whole = exitCode === 0 && generationsIn(stdout).length === 1;
          if (!refused && !died && !whole) faults.push(`exit ${exitCode} ${signal}: ${stdout}${stderr}`);
          return faults.map((fault) => `${scenario.title}, at most ${limit} bytes: ${fault}`);
        }),
      );
      tally({ recordsCut: outcomes.length });
      expect(outcomes.flat()).toEqual([]);
    },
    300_000,
  );
});

function killed(): Scenario {
  return { title: "killed", prepare: leaveStaleClaim, args: () => [], isRun: true };
}

function released(): Scenario {
  const prepare: Scenario["prepare"] = async (of) => {
    for (let times = 0; times < 2; times++) {
      const ended = await run([executable, "run", ...of.args, "--", ...harmlessCommand]);
      if (ended.exitCode !== 0) throw new Error(`was to succeed: ${JSON.stringify(ended)}`);
    }
  };
  return { title: "released", prepare, args: () => [], isRun: true };
}
