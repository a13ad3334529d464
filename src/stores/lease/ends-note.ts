import type { Entry, EtcdClient, TransactionResult } from "../../etcd/client.ts";
import { codes, hasCode } from "../../etcd/failures.ts";
import type { Configuration } from "../../model/configuration.ts";
import { messageOf } from "../../model/errors.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { earlierRuns } from "../earlier-runs.ts";
import type { EarlierRuns } from "../store.ts";
import { isLast } from "./claim-transactions.ts";

/** Writes take no longer: a command that has ended does not wait for a store that does not answer. */
const timeoutMs = 3000;

/** How the runs of a configuration ended, in a key of its own that no lease takes along. */
export class EndsNote {
  readonly #client: EtcdClient;
  readonly #keys: { readonly ends: string; readonly last: string };
  readonly #onNote: (text: string) => void;
  #writing: Promise<void> = Promise.resolve();

  constructor(
    client: EtcdClient,
    keys: { readonly ends: string; readonly last: string },
    onNote: (text: string) => void,
  ) {
    this.#client = client;
    this.#keys = keys;
    this.#onNote = onNote;
  }

  /** Begins to write, one record after the other, where this claim is still the last one. */
  write(value: Buffer, { token, revision }: { readonly token: string; readonly revision: number }): void {
    const { ends, last } = this.#keys;
    const then = [{ put: ends, value, lease: null }];
    this.#writing = this.#writing.then(async () => {
      try {
        await this.#client.transact({ if: isLast({ last, token }, revision), then, elseGet: [] }, { timeoutMs });
      } catch (error) {
        this.#onNote(`how the run ended could not be noted in the store: ${messageOf(error)}`);
      }
    });
  }

  settled(): Promise<void> {
    return this.#writing;
  }
}

/** A lock's key and the record of the last run, as of one moment and by one request. */
export async function lookForClaim(
  client: EtcdClient,
  keys: { readonly lock: string; readonly ends: string },
): Promise<{ readonly entry: Entry | null; readonly ends: Entry | null; readonly revision: number }> {
  const result = await readAll(client, [keys.lock, keys.ends]);
  const [entry = null, ends = null] = result.done ? [] : result.found;
  return { entry, ends, revision: result.revision };
}

/** What these keys have, in their order, by one request; by more where values are so large that one answer would not be taken. */
export async function readTogether(client: EtcdClient, keys: readonly string[]): Promise<readonly (Entry | null)[]> {
  try {
    const result = await readAll(client, keys);
    return result.done ? [] : result.found;
  } catch (error) {
    if (keys.length === 1 || !hasCode(error, codes.tooLarge)) throw error;
    const half = Math.ceil(keys.length / 2);
    return [...(await readTogether(client, keys.slice(0, half))), ...(await readTogether(client, keys.slice(half)))];
  }
}

function readAll(client: EtcdClient, keys: readonly string[]): Promise<TransactionResult> {
  // No key is ever made twice with one revision: the requirement never holds, and all are read.
  const impossible = { key: keys[0] ?? "", createRevision: Number.MAX_SAFE_INTEGER };
  return client.transact({ if: [impossible], then: [], elseGet: keys });
}

/** The runs before a claim. What stands in the key is as hostile as any record. */
export function runsIn(entry: Entry | null, layout: Layout, configuration: Configuration): EarlierRuns {
  return earlierRuns(entry === null ? [] : [parseOwnerRecord(entry.value)], layout, configuration);
}
