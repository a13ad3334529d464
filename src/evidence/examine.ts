import type { Evidence } from "../model/evidence.ts";
import type { Examine, Examined } from "../model/examine.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { isNewer } from "../model/owner-record.ts";
import { mountOf } from "../system/files/mounts.ts";
import { isEarlierRun, schedulerJob } from "../system/processes/scheduler-job.ts";
import { gather, localSources, type Source } from "./gather.ts";
import { judge } from "./judge.ts";
import { lastWriteEvidence } from "./last-write.ts";
import { goingOnEvidence } from "./open-files.ts";
import { type RemoteOptions, remoteOptionsOf } from "./remote/options.ts";

/**
 * Makes the function by which a call examines locks. It asks this host first, and schedulers and other hosts only about locks
 * that stay unknown. Make it once for each call, so that they are asked once for all locks.
 */
export function makeExamine(options: RemoteOptions = remoteOptionsOf()): Examine {
  let remote: Promise<Source> | undefined;
  const examine: Examine = async (facts) => {
    if (facts.otherTime) {
      const { otherTime: _, ...recorded } = facts;
      const bare = {
        ...recorded,
        record: null,
        kernelLock: { state: "absent" },
        pid: facts.marker?.pid ?? null,
      } as const;
      return eitherWay(await examine(recorded), await examine(bare));
    }
    const local = await gather(facts, localSources);
    const verdict = judge(withoutKnowing(facts, local));
    const isDoubtful = verdict.status === "stale" && (whereUnseen(facts, local) !== null || mayHaveTasks(facts));
    // A marker that is just being written has no owner to ask about yet, and one that cannot be seen names none.
    const hasNobody =
      facts.leadsNowhere !== undefined || (verdict.status === "unknown" && verdict.because === "being created");
    if (!isDoubtful && (verdict.status !== "unknown" || hasNobody))
      return { verdict, evidence: withoutKnowing(facts, local) };
    // Most calls ask nobody: they do not load this.
    remote ??= import("./remote/remote-source.ts").then(({ remoteSource }) => remoteSource(options));
    const asked = [...local, ...(await gather(facts, [await remote]))];
    const evidence = withoutKnowing(facts, [...asked, ...goesOnUnseen(facts, asked)]);
    const final = judge(evidence);
    if (final.status !== "unknown") return { verdict: final, evidence };
    return { verdict: final, evidence: [...evidence, ...lastWriteEvidence(facts.weightsDir)] };
  };
  return examine;
}

/**
 * A marker that was written at another time than its record says was touched, or is another's, which got the same numbers. It is
 * alive by the word of either, and dead by that of both.
 */
function eitherWay(recorded: Examined, bare: Examined): Examined {
  const detail = "the marker was written at another time than its record says: it was touched, or is another's";
  const doubt: Evidence = { source: "record", says: "unknown", because: "remote process", detail };
  const isAlive = [recorded, bare].find(({ verdict }) => verdict.status === "active");
  const isOpen = [recorded, bare].find(({ verdict }) => verdict.status !== "stale");
  const { verdict } = isAlive ?? isOpen ?? recorded;
  return { verdict, evidence: [...recorded.evidence, ...bare.evidence, doubt] };
}

/**
 * The host of a holder whose end is known by nothing but a free lock that reaches every host: a host that is cut off from the
 * file server has lost its locks, and its training may go on. Null: the end is known otherwise. A requeued job's own last run
 * is over by then, or cannot write: its scheduler has started it again.
 */
function whereUnseen({ record }: LockFacts, evidence: readonly Evidence[]): string | null {
  const ours = schedulerJob(process.env);
  if (ours !== null && isEarlierRun(record?.trainlock?.scheduler ?? null, ours)) return null;
  const deaths = evidence.filter((found) => found.says === "dead");
  const [first] = deaths;
  return first?.unseenOn !== undefined && deaths.every(({ unseenOn }) => unseenOn !== undefined)
    ? first.unseenOn
    : null;
}

/**
 * Whether a training may go on in tasks on other hosts of its job. Such tasks neither hold the lock nor belong to the process
 * tree here. There are none on a file system that only this host has. There are none of an earlier run of the asking job
 * either: its scheduler has ended them.
 */
function mayHaveTasks({ record, path }: LockFacts): boolean {
  const section = record?.trainlock ?? null;
  const job = section?.scheduler ?? null;
  if (section === null || job === null || section.releasedAt !== null || (job.otherHosts ?? []).length === 0)
    return false;
  const ours = schedulerJob(process.env);
  return (ours === null || !isEarlierRun(job, ours)) && mountOf(path).shared !== false;
}

/** What keeps a holder's end from being certain once everybody was asked. */
function goesOnUnseen(facts: LockFacts, evidence: readonly Evidence[]): Evidence[] {
  const host = whereUnseen(facts, evidence);
  if (host !== null) {
    const detail = `${host} was not reached, and its training may go on there though its lock is free`;
    return [{ source: "ssh", says: "unknown", because: "host not reached", detail }];
  }
  const deaths = evidence.filter(({ says }) => says === "dead");
  const isSeen = deaths.some(({ source }) => seenOnHost.has(source));
  return deaths.length === 0 || isSeen || facts.weightsDir === null ? [] : goingOnEvidence(facts.weightsDir);
}

/** Who has looked at the holder's host itself, or has the holder's own word. */
const seenOnHost: ReadonlySet<Evidence["source"]> = new Set(["process", "boot", "ssh", "record", "marker", "lease"]);

/** What a newer trainlock means by a free lock or a dead process is not known here: that proves no death. */
function withoutKnowing({ recordProblem }: LockFacts, found: readonly Evidence[]): readonly Evidence[] {
  if (recordProblem === null || !isNewer(recordProblem) || recordProblem.section?.isReleased === true) return found;
  const doubt: Evidence = {
    source: "record",
    says: "unknown",
    because: "newer trainlock",
    detail: `its record is ${recordProblem.reason}`,
  };
  return [...found.filter(({ says }) => says !== "dead"), doubt];
}
