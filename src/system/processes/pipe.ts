import { EnvironmentError } from "../../model/errors.ts";
import { addressOf, systemCall } from "./system-calls.ts";

/** O_CLOEXEC of fcntl.h. */
const closeOnExec = 0o2000000;

/** A pipe whose ends no program that we start inherits by itself: pipe2(2). */
export function makePipe(): { readonly reads: number; readonly writes: number } {
  const ends = new Int32Array(2);
  const made = systemCall("pipe2", addressOf(ends), closeOnExec) === 0;
  const [reads, writes] = ends;
  if (!made || reads === undefined || writes === undefined)
    throw new EnvironmentError("cannot make a pipe: too many open files", {
      code: "EMFILE",
      hint: "raise `ulimit -n`",
    });
  return { reads, writes };
}
