import { rmSync } from "node:fs";
import { describe, expect } from "vitest";
import type { TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import {
  freshRun,
  generationsIn,
  harmlessCommand,
  leaveStaleClaim,
  listed,
  recordedGeneration,
  recoveryFaults,
  type Scenario,
  withScenario,
} from "../support/scenarios.ts";
import { inParallel, trace } from "../support/strace.ts";
import { tally } from "../support/tally.ts";
import { executable, run } from "../support/trainlock.ts";

const errnos = ["EIO", "ESTALE", "EMFILE", "EACCES"] as const;

async function runTwice(of: TestConfiguration): Promise<void> {
  for (let times = 0; times < 2; times++) await run([executable, "run", ...of.args, "--", ...harmlessCommand]);
}

const states: readonly { readonly title: string; readonly prepare: Scenario["prepare"] }[] = [
  { title: "after two runs", prepare: runTwice },
  {
    title: "after two runs, the lock file removed by an old clear",
    prepare: async (of) => {
      await runTwice(of);
      rmSync(of.kernelLock);
    },
  },
  { title: "after a killed claim", prepare: leaveStaleClaim },
];

const files: readonly { readonly title: string; pathOf(of: TestConfiguration): string }[] = [
  { title: "the lock file", pathOf: (of) => of.kernelLock },
  { title: "the marker", pathOf: (of) => of.marker },
  { title: "the record beside the marker", pathOf: (of) => of.markerRecord },
  { title: "the weights folder", pathOf: (of) => of.weightsDir },
];

describe("a file that cannot be opened, however often it is tried", () => {
  for (const { title, pathOf } of files) {
    requiresPrograms("strace")(
      title,
      async () => {
        const jobs = states.flatMap((state) => errnos.map((errno) => ({ state, errno })));
        const faults = await inParallel(jobs, ({ state, errno }) =>
          withScenario({ ...freshRun, prepare: state.prepare }, async (of, root) => {
            const before = recordedGeneration(of);
            const there = (await listed(root)).map(({ path }) => path);
            const inject = { inject: `openat:error=${errno}`, paths: [pathOf(of)] };
            const traced = await trace(["run", ...of.args, "--", ...harmlessCommand], inject);
            const generations = generationsIn(traced.stdout);
            const wrong: string[] = [];
            // It may do without, but then it must know what it would have read there.
            const goneOn = traced.exitCode === 0 && generations.length === 1 && Math.max(...generations) > before;
            const told = traced.stderr.includes(errno) && traced.stderr.includes(root);
            const refused = traced.exitCode === 3 && traced.stdout === "" && told;
            // Somebody put it there and lets nobody read it: that is a marker, whatever it says.
            const anothers = traced.exitCode === 75 && errno === "EACCES" && pathOf(of) === of.marker;
            if (!goneOn && !refused && !anothers) {
              wrong.push(`exit ${traced.exitCode}, generation ${generations} after ${before}: ${traced.stderr.trim()}`);
            }
            const left = (await listed(root)).filter(({ path }) => !there.includes(path));
            wrong.push(...left.map(({ path, label }) => `left ${path}, ${label}`));
            wrong.push(...(await recoveryFaults(of, root, [before, ...generations])));
            return wrong.map((fault) => `${errno}, ${state.title}: ${fault}`);
          }),
        );
        tally({ errorsInjected: jobs.length });
        expect(faults.flat()).toEqual([]);
      },
      120_000,
    );
  }
});
