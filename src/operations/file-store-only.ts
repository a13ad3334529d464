import { EnvironmentError } from "../model/errors.ts";

/** What was not built for stores yet refuses them here: looking at the file system instead would be the wrong answer. */
export function requireFileStore(address: string | null): void {
  if (address === null) return;
  throw new EnvironmentError(`locks cannot be kept at ${address}: not built in`, {
    code: "ERR_STORE_NOT_BUILT_IN",
    hint: "leave out --store, TRAINLOCK_STORE and `store` in trainlock.yaml to keep them on the file system",
  });
}
