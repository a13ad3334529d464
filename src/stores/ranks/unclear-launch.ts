import { UsageError } from "../../model/errors.ts";

/** The error for ranks that nothing tells from those of another launch. It is thrown before anything starts. */
export function unclearLaunch(why: string): UsageError {
  return new UsageError(`the ranks of this launch cannot be distinguished from those of another one: ${why}`, {
    code: "ERR_UNCLEAR_LAUNCH",
    hint:
      "give torchrun an --rdzv_id that no other launch has, or set TRAINLOCK_LAUNCH to one text for all ranks of this " +
      "launch (export TRAINLOCK_LAUNCH=$(date +%s%N))",
  });
}

export const differentParents = "they are on one host, and not started by one process";
