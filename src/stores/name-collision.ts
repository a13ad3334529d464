import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import { belongsToAnother, configurationOf, type OwnerRecord } from "../model/owner-record.ts";
import { isReleased } from "./claim-record.ts";

/** Two configurations whose names come out the same must not take one another's lock for their own. */
export function refuseCollision(record: OwnerRecord, configuration: Configuration, path: string): void {
  const theirs = configurationOf(record);
  if (theirs === null || isReleased(record) || !belongsToAnother(record, configuration)) return;
  throw new EnvironmentError(
    `two configurations have the same lock name ${path}: it is held for ${describeConfiguration(theirs)}, ` +
      `and asked for ${describeConfiguration(configuration)}`,
    { code: "ERR_NAME_COLLISION", hint: "rename one of them, or wait until the other is done" },
  );
}
