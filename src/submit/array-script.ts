import type { SchedulerKind } from "../evidence/schedulers/listed-job.ts";
import { UsageError } from "../model/errors.ts";
import { shellWord } from "../model/shell-word.ts";
import { type ArrayJob, dialects } from "./dialects.ts";

/** What every element of an array does. */
export interface ElementCall {
  /** The folder in which the submit was called. */
  readonly folder: string;
  /** Of this program, by its real path, and the row's command. */
  readonly argv: readonly string[];
  /** Variables that name the store: the submitter's others of ours are cleared. */
  readonly variables: Readonly<Record<string, string>>;
  /** Where output of elements goes. */
  readonly outputFolder: string;
}

/** The script of an array job: bash, with the scheduler's options at its head. */
export function arrayScript(kind: SchedulerKind, job: ArrayJob, call: ElementCall): string {
  const { prefix, head, redirect } = dialects[kind];
  const options = [...head(job, call.outputFolder), ...job.options];
  const exports = Object.entries(call.variables).map(([name, value]) => `export ${name}=${shellWord(value)}`);
  return [
    "#!/bin/bash",
    ...options.map((option) => `${prefix} ${option}`),
    "# An element claims a row when it starts: which one is not decided before.",
    ...redirect(shellWord(call.outputFolder)),
    // A job that was submitted from inside a job carries the variables of that one.
    // biome-ignore lint/suspicious/noTemplateCurlyInString: bash reads it
    'unset "${!TRAINLOCK_@}"',
    ...exports,
    `cd ${shellWord(call.folder)} || exit 3`,
    "# shellcheck disable=SC2016 # words in quotes are text for the command",
    `exec ${call.argv.map(shellWord).join(" ")}`,
    "",
  ].join("\n");
}

/** Throws a UsageError for an option that submit itself gives, or that would run a program in the job's place. */
export function requireUsable(kind: SchedulerKind, options: readonly string[], place: string): void {
  for (const option of options) {
    const name = /^--?[A-Za-z][\w-]*/.exec(option)?.[0] ?? option;
    const why =
      /[\p{Cc}\u2028\u2029]/u.test(option) || !/^--?[A-Za-z]/.test(option)
        ? "is no option of a scheduler"
        : dialects[kind].own.includes(name)
          ? "is given by submit itself"
          : dialects[kind].runs.includes(name)
            ? "would run another program"
            : null;
    if (why !== null)
      throw new UsageError(`${place}: ${JSON.stringify(option)} ${why}`, {
        code: "ERR_SUBMIT_OPTION",
        hint: "give what the rows need, such as --gres=gpu:1 or --time=24:00:00",
      });
  }
}
