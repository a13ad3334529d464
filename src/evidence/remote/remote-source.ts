import { messageOf } from "../../model/errors.ts";
import type { Evidence } from "../../model/evidence.ts";
import type { LockFacts } from "../../model/lock-facts.ts";
import { schedulerJob } from "../../system/processes/scheduler-job.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { lookUpUsers, type Users } from "../../system/processes/users.ts";
import type { HostReply } from "./ask-host.ts";
import { isRoaming, makeHosts } from "./ask-hosts.ts";
import { makeSchedulers } from "./ask-schedulers.ts";
import type { RemoteOptions } from "./options.ts";
import { type Owner, ownerOf } from "./owner.ts";
import { ownerEvidence } from "./owner-evidence.ts";

/** Answers are good for so long: whoever waits for a lock, or watches a list, asks no cluster every second. */
const freshMs = 30_000;
/** The locks of one look come within this time; those of the next look come later. */
const oneLookMs = 5000;
/** The scheduler's share of the time, where hosts that it names are to be asked after it. */
const schedulerShare = 0.6;

interface Request {
  readonly owner: Owner;
  readonly settle: (evidence: Evidence[]) => void;
}

/**
 * The source that asks elsewhere: schedulers and hosts. Locks that ask in the same turn are asked about together: one command
 * a scheduler, one connection a host, one deadline. Made once for a call of the tool.
 */
export function remoteSource(options: RemoteOptions): (facts: LockFacts) => Promise<Evidence[]> {
  let waiting: Request[] = [];
  let known = new Map<string, Promise<Evidence[]>>();
  let silent = new Map<string, HostReply>();
  const { askEveryMs } = options;
  let freshUntil = 0;
  let askUntil = 0;
  const schedulers = makeSchedulers(options);
  const flush = () => {
    const batch = timed(waiting, options.onAsked);
    waiting = [];
    void answer(batch, options, schedulers, makeHosts(options, silent));
  };
  return (facts) => {
    const owner = ownerOf(facts);
    if (owner.process === null && owner.job === null) return Promise.resolve([]);
    const now = performance.now();
    if (now > freshUntil) {
      known = new Map();
      silent = new Map();
      freshUntil = now + (askEveryMs ?? freshMs);
      askUntil = now + oneLookMs;
    }
    const key = keyOf(facts);
    const before = known.get(key);
    if (before !== undefined) return before;
    if (askEveryMs !== null && now > askUntil) return Promise.resolve([notYetAsked(freshUntil - now)]);
    const evidence = new Promise<Evidence[]>((settle) => {
      // After this turn, so that all locks of a list are there.
      if (waiting.length === 0) setImmediate(flush);
      waiting.push({ owner, settle });
    });
    known.set(key, evidence);
    return evidence;
  };
}

/** The same requests; how long all of them took is told before the last one is settled. */
function timed(batch: readonly Request[], onAsked: RemoteOptions["onAsked"]): Request[] {
  const begun = performance.now();
  const open = new Set(batch);
  return batch.map((request) => ({
    owner: request.owner,
    settle: (evidence) => {
      if (open.delete(request) && open.size === 0) onAsked(performance.now() - begun);
      request.settle(evidence);
    },
  }));
}

/**
 * Evidence for a claim that is newer than the last question. An answer that is older than a claim says nothing of it.
 */
function notYetAsked(leftMs: number): Evidence {
  const detail = `others are asked once a minute, the next time in ${Math.ceil(leftMs / 1000)} s`;
  return { source: "ssh", says: "unknown", because: "remote process", detail };
}

/** One claim of one lock: whatever replaces it is asked about anew. */
function keyOf({ path, record, marker }: LockFacts): string {
  const place = marker === null ? [] : [marker.device, marker.inode, marker.modifiedNs];
  const claim = [record?.trainlock?.token, record?.acquiredAt, record?.hostname, record?.pid, record?.jobId];
  return [path, ...place, ...claim].join("\0");
}

async function answer(
  batch: readonly Request[],
  options: RemoteOptions,
  askSchedulers: ReturnType<typeof makeSchedulers>,
  askHosts: ReturnType<typeof makeHosts>,
): Promise<void> {
  const owners = batch.map(({ owner }) => owner);
  const asker = thisHost();
  const ours = schedulerJob(process.env);
  const begun = performance.now();
  const leftMs = (share = 1) => begun + options.verifyTimeoutMs * share - performance.now();
  try {
    const ask = askHosts(owners, leftMs);
    const share = owners.some(({ process }) => isRoaming(process)) ? schedulerShare : 1;
    const [jobs, users] = await Promise.all([askSchedulers(owners, () => leftMs(share)), usersOf(owners)]);
    await Promise.all(
      batch.map(async ({ owner, settle }) =>
        settle(await ownerEvidence(owner, { jobs, users, ask, hosts: options.hosts, asker, ours })),
      ),
    );
  } catch (error) {
    const detail = `a probe failed: ${messageOf(error)}`;
    for (const { settle } of batch) settle([{ source: "ssh", says: "unknown", because: "remote process", detail }]);
  }
}

function usersOf(owners: readonly Owner[]): Promise<Users> {
  const bare = owners.flatMap(({ process }) => (process?.kind === "bare" ? [process] : []));
  const uids = bare.flatMap(({ uid }) => (uid === null ? [] : [uid]));
  const names = bare.flatMap(({ user }) => (user === null ? [] : [user]));
  return lookUpUsers([...new Set(uids)], [...new Set(names)]);
}
