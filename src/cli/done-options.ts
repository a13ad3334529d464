import { UsageError } from "../model/errors.ts";
import { type DoneDeclaration, doneFileProblem, patternProblem } from "../site/done-declaration.ts";
import { repeatedValue, type ValuesOf, value } from "./command.ts";
import { shellOptions } from "./option-arguments.ts";
import { parseSize } from "./units.ts";

/** They go before what the site declares. */
export const doneOptions = {
  doneWhen: repeatedValue(
    "<glob>",
    "a file in the weights dir that shows a training to be done; may be repeated (else `done:` in trainlock.yaml)",
    readPattern,
  ),
  doneMinSize: value("<size>", "the least size of a --done-when file (1K)", parseSize),
  doneFile: value(
    "<name>",
    "a file in the weights dir that `run` writes when its command ends with 0; where it is, the training is done",
    readFileName,
  ),
};

export type DoneOptions = ValuesOf<typeof doneOptions>;

/** What the call itself declares. */
export function doneDeclarationFrom(given: DoneOptions): Partial<DoneDeclaration> {
  return { when: given.doneWhen ?? null, minBytes: given.doneMinSize ?? null, file: given.doneFile ?? null };
}

/** The options that give another call the same done rule, ready for a shell, each after a blank. */
export function doneFlags(given: DoneOptions): string {
  return shellOptions(doneOptions, given);
}

function readPattern(given: string, text: string): string {
  const problem = patternProblem(text);
  if (problem === null) return text;
  throw new UsageError(`${given} ${JSON.stringify(text)} ${problem}`, {
    hint: "give the name or glob of a file inside the weights dir",
  });
}

function readFileName(given: string, text: string): string {
  if (doneFileProblem(text) === null) return text;
  throw new UsageError(`${given} ${JSON.stringify(text)} is not the name of a file in the weights dir`, {
    hint: `for example ${given} trained.json`,
  });
}
