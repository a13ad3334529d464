import { resolve } from "node:path";
import { UsageError } from "../model/errors.ts";

/** Where to look for the root, in this order; the last two are what the Python script reads. */
export const rootVariables = ["TRAINLOCK_ROOT", "AWARE_DATA_ROOT", "PROVE_ROOT"] as const;

/** How the callers of the library and of `training_lock.py` give the root. */
export const rootArguments = { library: "{ root: DIR }", python: "root=DIR" } as const;

/**
 * The root that a caller or the environment names, absolute. Throws {@link UsageError} when nobody does. `argument`: how the
 * caller gives it, for the message.
 */
export function rootFrom(
  given: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  argument = "--root DIR",
): string {
  if (given === "") throw new UsageError("--root is empty", { hint: "name the shared folder" });
  const named = given ?? rootVariables.map((name) => env[name]).find((value) => value !== undefined && value !== "");
  if (named !== undefined) return resolve(named);
  throw new UsageError(`no root: give ${argument} or set one of ${rootVariables.join(", ")}`, {
    hint: "the root is the shared folder that WEIGHTS and training_locks lie in",
  });
}
