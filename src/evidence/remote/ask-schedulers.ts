import { runProgram } from "../../system/processes/run-program.ts";
import { schedulerOnPath, schedulerProbes } from "../schedulers/choose.ts";
import type { SchedulerAnswer, SchedulerKind, SchedulerProbe, WantedJob } from "../schedulers/listed-job.ts";
import { isRoaming } from "./ask-hosts.ts";
import type { RemoteOptions } from "./options.ts";
import type { Owner } from "./owner.ts";

export interface Asked {
  readonly probe: SchedulerProbe;
  readonly answer: SchedulerAnswer;
}

export interface SchedulerAnswers {
  /** By what a record names; null stands for what is installed. */
  of(kind: SchedulerKind | null): Asked | null;
}

/** Each scheduler that locks name is asked once, for all of them. */
export function makeSchedulers(options: RemoteOptions) {
  const noted = new Set<SchedulerKind>();
  const choice = options.scheduler;
  const installed = choice === "none" ? null : choice === "auto" ? schedulerOnPath() : schedulerProbes[choice];
  /** A record names its own; what the caller chose is used for the rest, or for nothing. */
  const probeOf = (kind: SchedulerKind | null) =>
    choice === "none" ? null : kind === null || choice !== "auto" ? installed : schedulerProbes[kind];

  return async (owners: readonly Owner[], leftMs: () => number): Promise<SchedulerAnswers> => {
    const wanted = new Map<SchedulerProbe, WantedJob[]>();
    const note = (probe: SchedulerProbe | null, job: WantedJob | null) => {
      if (probe !== null) wanted.set(probe, [...(wanted.get(probe) ?? []), ...(job === null ? [] : [job])]);
    };
    const roaming = owners.some(({ process }) => isRoaming(process));
    if (roaming) note(probeOf(null), null);
    for (const { job } of owners) if (job !== null) note(probeOf(job.kind), job);
    const answers = new Map<SchedulerKind, Asked>();
    await Promise.all(
      [...wanted].map(async ([probe, jobs]) => {
        const run = (argv: readonly [string, ...string[]]) =>
          runProgram({ argv, timeoutMs: Math.min(leftMs(), options.schedulerTimeoutMs) });
        const answer = await probe.ask({ jobs, allRunning: roaming, run });
        answers.set(probe.kind, { probe, answer });
        if (answer.kind === "no answer" && !noted.has(probe.kind)) {
          noted.add(probe.kind);
          options.onNote(`${probe.title} gives no evidence: ${answer.why}`);
        }
      }),
    );
    return { of: (kind) => answers.get(probeOf(kind)?.kind ?? "lsf") ?? null };
  };
}
