import type { CallLimits, Entry, EtcdClient, LeaseId } from "../../etcd/client.ts";
import type { KeptClaim } from "./kept-claim.ts";

export type Made =
  /** The claim's revision. */
  | { readonly kind: "made"; readonly revision: number }
  /** Null: there is a claim's trace, and its key is gone. */
  | { readonly kind: "taken"; readonly by: Entry | null };

export type Wish = Omit<KeptClaim, "revision">;

/**
 * One transaction: the lock's key under the lease, if there is none. With `since`, the revision of a claim of ours whose key
 * is gone, only if nobody has claimed since. A transaction whose answer was lost is recognised by its token.
 */
export async function makeClaim(
  client: EtcdClient,
  wish: Wish,
  lease: LeaseId,
  since: number | null,
  limits: CallLimits = {},
): Promise<Made> {
  const { lock, last, token, value } = wish;
  const result = await client.transact(
    {
      if: [{ key: lock, createRevision: 0 }, ...(since === null ? [] : [{ key: last, modRevision: since }])],
      then: [
        { put: lock, value, lease },
        { put: last, value: Buffer.from(token), lease: null },
      ],
      elseGet: [lock, last],
    },
    limits,
  );
  if (result.done) return { kind: "made", revision: result.revision };
  const [found = null, trace = null] = result.found;
  if (trace?.value.toString() !== token) return { kind: "taken", by: found };
  // The last claim is ours: the answer to an earlier transaction was lost, or another keeper of ours made it.
  if (found === null) return makeClaim(client, wish, lease, trace.modRevision, limits);
  if (found.lease === lease) return { kind: "made", revision: found.createRevision };
  const unchanged = { key: lock, modRevision: found.modRevision };
  const moved = await client.transact({ if: [unchanged], then: [{ put: lock, value, lease }], elseGet: [] }, limits);
  if (moved.done) return { kind: "made", revision: found.createRevision };
  return makeClaim(client, wish, lease, trace.modRevision, limits);
}

/** Deletes the key of a claim of ours, whatever revision and lease it has by now; another's is left alone. */
export async function unmakeClaim(
  client: EtcdClient,
  { lock, last, token }: Pick<Wish, "lock" | "last" | "token">,
  limits: CallLimits = {},
): Promise<void> {
  const looked = await client.transact(
    { if: [{ key: lock, createRevision: 0 }], then: [], elseGet: [lock, last] },
    limits,
  );
  if (looked.done) return;
  const [found = null, trace = null] = looked.found;
  if (found === null || trace?.value.toString() !== token) return;
  const unchanged = { key: lock, modRevision: found.modRevision };
  const gone = await client.transact({ if: [unchanged], then: [{ delete: lock }], elseGet: [] }, limits);
  if (!gone.done) await unmakeClaim(client, { lock, last, token }, limits);
}
