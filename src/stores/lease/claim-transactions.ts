import type { CallLimits, Compare, Entry, EtcdClient, LeaseId } from "../../etcd/client.ts";
import type { KeptClaim } from "./kept-claim.ts";

/** What one attempt at a claim came to. */
export type ClaimResult =
  /** The claim's revision. */
  | { readonly kind: "made"; readonly revision: number }
  /** `by` null: another has claimed since, and its key is gone. */
  | { readonly kind: "taken"; readonly by: Entry | null };

/** A claim that is to be made. */
export type NewClaim = Omit<KeptClaim, "revision">;

/**
 * One transaction: the lock's key under the lease, if there is none. With `since`, the revision of a claim of ours whose key
 * is gone, only if nobody has claimed since. A transaction whose answer was lost is recognised by its token.
 */
export async function makeClaim(
  client: EtcdClient,
  claim: NewClaim,
  lease: LeaseId,
  since: number | null,
  limits: CallLimits = {},
): Promise<ClaimResult> {
  const { lock, last, token, value } = claim;
  const result = await client.transact(
    {
      if: [{ key: lock, createRevision: 0 }, ...(since === null ? [] : isLast(claim, since))],
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
  if (found === null) return makeClaim(client, claim, lease, trace.modRevision, limits);
  if (found.lease === lease) return { kind: "made", revision: found.createRevision };
  const unchanged = { key: lock, modRevision: found.modRevision };
  const moved = await client.transact({ if: [unchanged], then: [{ put: lock, value, lease }], elseGet: [] }, limits);
  if (moved.done) return { kind: "made", revision: found.createRevision };
  return makeClaim(client, claim, lease, trace.modRevision, limits);
}

/**
 * That nobody has claimed since. A store that was put back from a backup gives a revision a second time, so the token counts, too.
 */
export function isLast({ last, token }: Pick<NewClaim, "last" | "token">, revision: number): readonly Compare[] {
  return [
    { key: last, modRevision: revision },
    { key: last, value: token },
  ];
}

/** The key of a claim of ours, whatever revision and lease it has by now; null: it is gone, or another's. */
export async function ownKey(
  client: EtcdClient,
  { lock, last, token }: Pick<NewClaim, "lock" | "last" | "token">,
  limits: CallLimits,
): Promise<Entry | null> {
  const looked = await client.transact(
    { if: [{ key: lock, createRevision: 0 }], then: [], elseGet: [lock, last] },
    limits,
  );
  const [found = null, trace = null] = looked.done ? [] : looked.found;
  return trace?.value.toString() === token ? found : null;
}

/** Deletes the key of a claim of ours, whatever revision and lease it has by now; another's is left alone. */
export async function unmakeClaim(
  client: EtcdClient,
  { lock, last, token }: Pick<NewClaim, "lock" | "last" | "token">,
  limits: CallLimits = {},
): Promise<void> {
  const found = await ownKey(client, { lock, last, token }, limits);
  if (found === null) return;
  const unchanged = { key: lock, modRevision: found.modRevision };
  const gone = await client.transact({ if: [unchanged], then: [{ delete: lock }], elseGet: [] }, limits);
  if (!gone.done) await unmakeClaim(client, { lock, last, token }, limits);
}
/** Comparisons of one transaction: etcd's --max-txn-ops is 128, and there are two for a claim. */
const claimsAtOnce = 60;

/** The claims whose keys are not what they were, or not under this lease. A majority has answered. */
export async function changedClaims(
  at: EtcdClient,
  lease: LeaseId,
  claims: ReadonlyMap<string, KeptClaim>,
  limits: CallLimits,
): Promise<[string, KeptClaim][]> {
  const asked = [...claims];
  const changed: [string, KeptClaim][] = [];
  for (let from = 0; from === 0 || from < asked.length; from += claimsAtOnce) {
    const some = asked.slice(from, from + claimsAtOnce);
    const unchanged = some.flatMap(([, { lock, revision }]) => [
      { key: lock, createRevision: revision },
      { key: lock, lease },
    ]);
    const result = await at.transact({ if: unchanged, then: [], elseGet: some.map(([, { lock }]) => lock) }, limits);
    if (result.done) continue;
    const isChanged = (index: number, { revision }: KeptClaim) =>
      result.found[index]?.createRevision !== revision || result.found[index]?.lease !== lease;
    changed.push(...some.filter(([, claim], index) => isChanged(index, claim)));
  }
  // What was removed, made again or rewritten meanwhile is not meant.
  return changed.filter(([id, claim]) => claims.get(id) === claim);
}
