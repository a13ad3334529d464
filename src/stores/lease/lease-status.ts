import type { EtcdClient } from "../../etcd/client.ts";
import { EtcdError } from "../../etcd/errors.ts";
import type { ClaimStatus } from "../../model/claim-status.ts";
import type { Configuration } from "../../model/configuration.ts";
import { belongsToAnother, recordIn } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { holderFrom } from "../record-holder.ts";

/** A claim as others know it, who are not the process that made it. */
export interface NamedLease {
  readonly key: string;
  /** Null: whoever's. */
  readonly token: string | null;
  /** Null: whichever. A claim that was made again has another. */
  readonly generation: number | null;
  /** Null: the token says it all. */
  readonly configuration: Configuration | null;
}

/** Whether a claim on etcd is held, by a majority's word. A store that cannot be asked has not said so. */
export async function statusOfLease(client: EtcdClient, claim: NamedLease): Promise<ClaimStatus> {
  const { key, token, generation, configuration } = claim;
  const found = await client.get(key).catch((error: unknown) => {
    if (error instanceof EtcdError) return error;
    throw error;
  });
  if (found instanceof EtcdError) return { held: null, generation: null, why: found.message, holder: null };
  const { entry } = found;
  if (entry === null) return { held: false, generation: null, why: `its key ${key} is gone`, holder: null };
  const reading = parseOwnerRecord(entry.value);
  const record = recordIn(reading);
  const answer = (held: boolean | null, why: string): ClaimStatus => ({
    held,
    generation: entry.createRevision,
    why,
    holder: holderFrom(record, null),
  });
  if (record === null) return answer(null, `no record says whose ${key} is`);
  const another = configuration !== null && belongsToAnother(record, configuration);
  if (another || (token !== null && record.trainlock?.token !== token)) return answer(false, "another has it");
  if (generation !== null && generation !== entry.createRevision)
    return answer(false, `its generation is ${entry.createRevision}, not ${generation}`);
  if (entry.lease === null) return answer(null, `${key} is under no lease: nothing renews it`);
  return answer(true, "its key is there, under a lease that is alive");
}
