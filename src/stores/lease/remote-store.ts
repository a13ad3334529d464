import { etcdAccess } from "../../etcd/access.ts";
import type { EtcdAccess, EtcdAddress } from "../../etcd/address.ts";
import { parseEtcdAddress } from "../../etcd/address.ts";
import type { EtcdClient } from "../../etcd/client.ts";
import { EtcdError } from "../../etcd/errors.ts";
import { openEtcd } from "../../etcd/open-etcd.ts";
import type { ClaimStatus } from "../../model/claim-status.ts";
import type { Configuration } from "../../model/configuration.ts";
import type { Examine } from "../../model/examine.ts";
import { type OwnerRecord, recordIn } from "../../model/owner-record.ts";
import { parseOwnerRecord } from "../../model/parse-owner-record.ts";
import type { Layout } from "../../site/layout.ts";
import { requireOwnFolder } from "../../site/shared-folder.ts";
import type { StoreSettings } from "../../site/store-settings.ts";
import { makeBeneath } from "../../system/files/open-beneath.ts";
import { canWriteIn } from "../../system/files/shared-permissions.ts";
import { requireWithin } from "../../system/files/within.ts";
import { bothStores, type FilesPlan } from "../both-stores.ts";
import { claimStore } from "../folder/claim.ts";
import { unwritableFolder } from "../folder/claimable.ts";
import type { HeldLock, LockStore } from "../store.ts";
import type { StoreOptions } from "../store-options.ts";
import { claimKeys, keyAddress } from "./lease-facts.ts";
import { LeaseSession } from "./lease-session.ts";
import { statusOfLease } from "./lease-status.ts";
import { joinClaim, leaseStore } from "./lease-store.ts";
import { type RemoteLocks, remoteLocks } from "./remote-locks.ts";

/** An etcd cluster as a site names it. */
interface Cluster {
  readonly client: EtcdClient;
  readonly address: EtcdAddress;
  readonly access: EtcdAccess;
}

/** By what is asked for: all locks of a process go over the same connections, and a program's are under one lease. */
const opened = new Map<string, Cluster>();
const sessions = new Map<Cluster, LeaseSession>();

/** One client for all that one call asks. Nothing is sent yet. Throws what reading the access does. */
export function openCluster(settings: StoreSettings): Cluster {
  const name = JSON.stringify(settings);
  const before = opened.get(name);
  if (before !== undefined) return before;
  const { caFile: ca, certFile: cert, keyFile: key, user, passwordFile } = settings;
  const address = parseEtcdAddress(settings.address);
  const access = etcdAccess(process.env, { ca, cert, key, user, passwordFile });
  const remote = { client: openEtcd(address, access), address, access };
  opened.set(name, remote);
  return remote;
}

/** What a keeper need not find out once more. */
function foundBy({ client: { loginToken, clusterId, inOrder } }: Cluster) {
  return { loginToken, clusterId, inOrder };
}

export function remoteLocksOf(layout: Layout, settings: StoreSettings): RemoteLocks {
  const { client, address } = openCluster(settings);
  return remoteLocks(client, address, layout);
}

export function remoteAddressOf(layout: Layout, settings: StoreSettings, configuration: Configuration): string {
  const { address } = openCluster(settings);
  return keyAddress(address, claimKeys(address, layout, configuration).lock);
}

/** The record of a claim that is there under a lease; null: there is none, or the store does not say. */
export async function recordInRemote(
  layout: Layout,
  settings: StoreSettings,
  configuration: Configuration,
): Promise<OwnerRecord | null> {
  const { client, address } = openCluster(settings);
  const found = await client.get(claimKeys(address, layout, configuration).lock).catch((error: unknown) => {
    // Whoever asks for the lock next says so.
    if (error instanceof EtcdError) return null;
    throw error;
  });
  const entry = found?.entry ?? null;
  return entry === null || entry.lease === null ? null : withGeneration(entry.value, entry.createRevision);
}

function withGeneration(value: Buffer, generation: number): OwnerRecord | null {
  const record = recordIn(parseOwnerRecord(value));
  return record?.trainlock == null ? null : { ...record, trainlock: { ...record.trainlock, generation } };
}

/** Claims on etcd, with the file system's locks beside them wherever these can be written: old jobs know nothing else. */
export function remoteLockStore(
  layout: Layout,
  settings: StoreSettings,
  examine: Examine,
  {
    guard = null,
    onNote = () => undefined,
    lookAtFiles = async () => null,
    killLeftBehindAfterMs = null,
    ...claimOptions
  }: StoreOptions,
): LockStore {
  const { ttlMs, alsoMarker } = settings;
  const remote = openCluster(settings);
  const session =
    (guard === null ? sessions.get(remote) : undefined) ??
    new LeaseSession({ ...remote, ...foundBy(remote), ttlMs, guard });
  sessions.set(remote, session);
  const { owner } = claimOptions;
  const leases = leaseStore({ layout, ...remote, session, examine, onNote, owner, killLeftBehindAfterMs });
  const files = claimStore(layout, examine, claimOptions);
  return bothStores(leases, files, (of) => planFiles({ layout, alsoMarker, lookAtFiles, onNote }, of));
}

type FilesRequest = Pick<StoreSettings, "alsoMarker"> &
  Required<Pick<StoreOptions, "lookAtFiles" | "onNote">> & { readonly layout: Layout };

/** Also makes the weights dir, which the command is promised. Says what is given up where the files are not locked. */
async function planFiles(
  { layout, alsoMarker, lookAtFiles, onNote }: FilesRequest,
  configuration: Configuration,
): Promise<FilesPlan> {
  const weightsDir = layout.weightsDir(configuration);
  requireWithin(layout, weightsDir);
  await requireOwnFolder(layout, weightsDir);
  const unwritable = unwritableFolder(layout, configuration);
  if (alsoMarker === true || (alsoMarker === null && unwritable === null)) return "lock";
  const busy = alsoMarker === null ? await lookAtFiles(configuration) : null;
  if (busy !== null) return busy;
  if (canWriteIn(weightsDir)) makeBeneath(layout, weightsDir).close();
  const notKeptOut = "jobs that know only the kernel lock and the marker are";
  onNote(
    alsoMarker === false
      ? `no marker, as asked for: ${notKeptOut} neither seen nor kept out`
      : `no marker, for ${unwritable} cannot be written here: ${notKeptOut} not kept out`,
  );
  return "leave";
}

export function joinRemote(
  layout: Layout,
  settings: StoreSettings,
  configuration: Configuration,
  token: string,
  { guard = null, onNote = () => undefined }: StoreOptions,
): Promise<HeldLock | null> {
  const remote = openCluster(settings);
  const session = new LeaseSession({ ...remote, ...foundBy(remote), ttlMs: settings.ttlMs, guard });
  return joinClaim({ layout, ...remote, session, onNote }, configuration, token);
}

/** Whether a claim is held, by its own address as `run` hands it to its command. */
export function statusAtAddress(address: string, token: string, generation: number | null): Promise<ClaimStatus> {
  const { secure, endpoints, prefix } = parseEtcdAddress(address);
  const client = openEtcd({ secure, endpoints, prefix }, etcdAccess(process.env));
  return statusOfLease(client, { key: prefix, token, generation, configuration: null });
}

export function statusOfConfiguration(
  layout: Layout,
  settings: StoreSettings,
  configuration: Configuration,
  generation: number,
): Promise<ClaimStatus> {
  const { client, address } = openCluster(settings);
  const key = claimKeys(address, layout, configuration).lock;
  return statusOfLease(client, { key, token: null, generation, configuration });
}

/** Whether the claim of this token has a configuration's key, whatever its generation: it may have been claimed again. */
export function statusOfToken(
  layout: Layout,
  settings: StoreSettings,
  configuration: Configuration,
  token: string | null,
): Promise<ClaimStatus> {
  const { client, address } = openCluster(settings);
  const key = claimKeys(address, layout, configuration).lock;
  return statusOfLease(client, { key, token, generation: null, configuration });
}
