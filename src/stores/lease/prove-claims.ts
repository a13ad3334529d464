import type { CallLimits, EtcdClient, LeaseId } from "../../etcd/client.ts";
import type { KeptClaim } from "./kept-claim.ts";

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
