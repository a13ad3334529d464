import type { EtcdAddress } from "../../etcd/address.ts";
import type { Entry } from "../../etcd/client.ts";
import type { Configuration } from "../../model/configuration.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import { configurationOf, type OwnerRecord, recordIn } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import { kernelLockStem, type Layout } from "../../site/layout.ts";
import { type PlaceHere, placeHere } from "../../site/place-here.ts";
import { withSection } from "../claim-record.ts";
import type { ClaimKeys } from "./kept-claim.ts";

/** The keys of a configuration; named as its kernel lock is. */
export function claimKeys({ prefix }: EtcdAddress, layout: Layout, configuration: Configuration): ClaimKeys {
  const name = kernelLockStem(layout.kernelLockPath(configuration));
  return { lock: `${locksPrefix(prefix)}${name}`, last: `${prefix}/last/${name}` };
}

/** The record of the last run of a configuration, which stays when its claim is over. */
export function endsKey({ prefix }: EtcdAddress, layout: Layout, configuration: Configuration): string {
  return `${endsPrefix(prefix)}${kernelLockStem(layout.kernelLockPath(configuration))}`;
}

/** The same by the key of the lock; null: it is none of this store's. */
export function endsKeyOf({ prefix }: EtcdAddress, lock: string): string | null {
  const locks = locksPrefix(prefix);
  return lock.startsWith(locks) ? `${endsPrefix(prefix)}${lock.slice(locks.length)}` : null;
}

export function endsPrefix(prefix: string): string {
  return `${prefix}/ends/`;
}

export function locksPrefix(prefix: string): string {
  return `${prefix}/locks/`;
}

/** A key with the store that it is in, as people can hand it on. */
export function keyAddress({ secure, endpoints }: Pick<EtcdAddress, "secure" | "endpoints">, key: string): string {
  return `${secure ? "etcds" : "etcd"}://${endpoints.join(",")}${key}`;
}

/** The key of an address; null: it is none. */
export function keyIn(address: string): string | null {
  return /^etcds?:\/\/[^/]+(\/.*)$/.exec(address)?.[1] ?? null;
}

/** What a key says about a claim. Its value is as hostile as a file. */
export function leaseFacts(address: EtcdAddress, layout: Layout, entry: Entry): LockFacts {
  const reading = parseOwnerRecord(entry.value);
  const read = recordIn(reading);
  // Written before there was a revision to write.
  const record = read === null ? null : withSection(read, { generation: entry.createRevision });
  const path = keyAddress(address, entry.key);
  const place = placeOf(layout, record);
  return {
    kind: "etcd",
    name: place?.name ?? entry.key.slice(locksPrefix(address.prefix).length),
    path,
    lockPath: path,
    weightsDir: place?.weightsDir ?? null,
    kernelLock: { state: "absent" },
    leased: entry.lease !== null,
    record,
    recordProblem: reading.kind === "unreadable" ? reading : null,
    marker: null,
    pid: record?.pid ?? null,
    startedAt: record?.acquiredAt ?? null,
  };
}

/** Where this host would train it: the folder that its owner wrote down may be another cluster's. */
function placeOf(layout: Layout, record: OwnerRecord | null): PlaceHere | null {
  const configuration = record === null ? null : configurationOf(record);
  return configuration === null ? null : placeHere(layout, configuration);
}
