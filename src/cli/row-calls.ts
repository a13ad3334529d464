import { resolve } from "node:path";
import type { Row } from "../grid/grid.ts";
import { configurationArguments } from "../grid/next-command.ts";
import type { Configuration } from "../model/configuration.ts";
import type { DoneRule } from "../run/done-rule.ts";
import { newestCheckpoint } from "../run/newest-checkpoint.ts";
import { findResumePoints } from "../run/resume.ts";
import type { Layout } from "../site/layout.ts";
import { fileServerNowOr } from "../system/files/file-server-time.ts";
import type { CommandTemplate } from "../work/command-template.ts";
import { splitGpus } from "../work/gpu-slots.ts";
import { isEmptyRule, isForgiven } from "../work/look-at-row.ts";
import { rowValues, rowVariables } from "../work/row-values.ts";
import type { WorkRequest } from "../work/work-request.ts";
import type { ValuesOf } from "./command.ts";
import { runOptions } from "./commands/run-options.ts";
import { evidenceOptions } from "./evidence-options.ts";
import { optionArguments } from "./option-arguments.ts";
import { siteOptions } from "./site-options.ts";

const { onLost, killAfter, leftovers, dieWithWrapper, checkEvery, ttl, alsoMarker } = runOptions;
/** Those of `run` that each row's wrapper gets. */
export const runsOptions = { onLost, killAfter, leftovers, dieWithWrapper, checkEvery, ttl, alsoMarker };
/** What each wrapper gets as the worker has it. */
export const passedOn = { ...siteOptions, ...evidenceOptions, ...runsOptions };

/** What was before these times is to be trained once more; milliseconds since the epoch. */
type Since = {
  /** What had failed then is tried once more; null: it is not. */
  readonly retriedSinceMs: number | null;
  /** What was done then is trained again; null: it is not. */
  readonly againSinceMs: number | null;
};

type Given = ValuesOf<typeof passedOn> &
  Since & {
    readonly jobs: number;
    readonly splitGpus: boolean;
    readonly log?: string | undefined;
  };

/** The times by the clock of the files that they are compared with, which a dry run makes none for. `ofArray`: an element's. */
export function sinceFrom(
  { lockDir }: Layout,
  { again, retryFailed, isDry }: Readonly<Record<"again" | "retryFailed" | "isDry", boolean>>,
  ofArray: number | null = null,
): Since {
  if (ofArray !== null) return { againSinceMs: null, retriedSinceMs: ofArray };
  if (!again && !retryFailed) return { againSinceMs: null, retriedSinceMs: null };
  const nowMs = isDry ? Date.now() : fileServerNowOr(lockDir);
  return { againSinceMs: again ? nowMs : null, retriedSinceMs: nowMs };
}

interface RowRules {
  readonly ruleOf: (row: Row) => DoneRule;
  readonly maxAttempts: (row: Row) => number;
}

/** How the wrapper of each row is called. */
export async function rowCalls(
  layout: Layout,
  template: CommandTemplate,
  { ruleOf, maxAttempts }: RowRules,
  given: Given,
): Promise<Pick<WorkRequest, "callOf" | "hasCheckpoint">> {
  const variables = await slotVariables(given);
  const fixed = optionArguments(passedOn, given);
  const checkpointOf = async (row: Row) => {
    const { newest } = await findResumePoints(layout, row.configuration, ruleOf(row).smallestBytes);
    return newest === "" ? null : newest;
  };
  return {
    callOf: async (row, slot, hasRun) => {
      const values = rowValues(layout, row.configuration, await checkpointOf(row));
      const forgets = !hasRun && isForgiven(layout, row.configuration, given.retriedSinceMs);
      return {
        args: [
          ...fixed,
          ...configurationArguments(row.configuration),
          ...ruleArguments(ruleOf(row)),
          ...logArguments(given.log, values.name, row.configuration.stage),
          ...(forgets ? ["--retry-failed"] : []),
          ...(given.againSinceMs === null ? [] : [`--again=${given.againSinceMs}`]),
          `--max-attempts=${maxAttempts(row)}`,
          ...(isEmptyRule(ruleOf(row)) && given.againSinceMs === null ? ["--once"] : []),
          "--quiet",
          "--",
          ...template.expand(values),
        ],
        variables: { ...rowVariables(values), ...variables[slot] },
      };
    },
    hasCheckpoint: async (row) => {
      const search = { layout, configuration: row.configuration, done: ruleOf(row) };
      return (await newestCheckpoint(search)).checkpoint !== null;
    },
  };
}

function ruleArguments({ patterns, smallestBytes, file }: DoneRule): string[] {
  const when = patterns.map((pattern) => `--done-when=${pattern}`);
  return [...when, `--done-min-size=${smallestBytes}`, ...(file === null ? [] : [`--done-file=${file}`])];
}

/** No two rows write into one file: stages have one name. */
function logArguments(log: string | undefined, name: string, stage: Configuration["stage"]): string[] {
  if (log === undefined) return [];
  const ofRow = stage === null ? name : `${name}_stage${stage}`;
  return log === "inherit" ? ["--inherit"] : [`--log=${resolve(log.replaceAll("{name}", () => ofRow))}`];
}

async function slotVariables(given: Given): Promise<readonly Readonly<Record<string, string>>[]> {
  const gpus = given.splitGpus ? await splitGpus(given.jobs, process.env.CUDA_VISIBLE_DEVICES) : null;
  return Array.from({ length: given.jobs }, (_, slot) => ({
    TRAINLOCK_SLOT: String(slot),
    ...(gpus === null ? {} : { CUDA_VISIBLE_DEVICES: gpus[slot] ?? "" }),
  }));
}
