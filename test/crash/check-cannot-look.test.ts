import { describe, expect } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { inParallel, trace } from "../support/strace.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const looks = "stat,lstat,statx,newfstatat,openat";
const mostLooks = 12;

describe("check of a configuration that nobody holds, where one look at a file fails", () => {
  const places = [
    ["the marker", (of: ReturnType<typeof configuration>) => of.marker],
    ["the record beside it", (of: ReturnType<typeof configuration>) => of.markerRecord],
    ["the lock file", (of: ReturnType<typeof configuration>) => of.kernelLock],
    ["the weights dir", (of: ReturnType<typeof configuration>) => of.weightsDir],
  ] as const;
  for (const [what, pathOf] of places) {
    requiresPrograms("strace", "a local file system and the initial PID namespace")(
      `${what}: exit 3 names the path and the error, or it is free all the same; never a defect, never locked`,
      async () => {
        const of = configuration(await temporaryRoot());
        await trainlock(["run", ...of.args, "--", "true"]);
        await writeMarker(of, `${deadPid}\n`);
        const jobs = ["EIO", "ESTALE", "EACCES"].flatMap((errno) =>
          Array.from({ length: mostLooks }, (_, at) => ({ errno, nth: at + 1 })),
        );
        const ends = await inParallel(jobs, async ({ errno, nth }) => {
          const inject = `${looks}:error=${errno}:when=${nth}`;
          const ended = await trace(["check", ...of.args, "--scheduler", "none"], { inject, paths: [pathOf(of)] });
          const isTold = ended.exitCode === 3 && ended.stderr.includes(errno) && ended.stderr.includes(of.root);
          // What may not be opened is somebody's, whatever it says.
          const isTheirs = ended.exitCode === 1 && errno === "EACCES" && pathOf(of) === of.marker;
          return isTold || isTheirs || ended.exitCode === 0
            ? []
            : [`${errno} at look ${nth}: ${JSON.stringify(ended)}`];
        });
        tally({ errorsInjected: jobs.length });
        expect(ends.flat()).toEqual([]);
      },
      120_000,
    );
  }
});
