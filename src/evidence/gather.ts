import { messageOf } from "../model/errors.ts";
import type { Evidence } from "../model/evidence.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { markerEvidence } from "./bare-pid.ts";
import { kernelLockEvidence } from "./kernel-lock.ts";
import { recordedProcessEvidence } from "./recorded-process.ts";

/** One way to find out. Resolves with what it found, also when that is nothing; never rejects. */
export type Source = (facts: LockFacts) => Evidence[] | Promise<Evidence[]>;

/** The evidence that this host has by itself. */
export const localSources: readonly Source[] = [
  kernelLockEvidence,
  ({ leased }) => leaseEvidence(leased),
  ({ leadsNowhere }) => linkEvidence(leadsNowhere),
  recordedProcessEvidence,
  ({ record }) => releasedEvidence(record?.trainlock?.releasedAt ?? null),
  ({ kind, record, marker, path }) =>
    kind === "file" && record === null && marker !== null ? markerEvidence(path, marker) : [],
];

/** Asks all sources at once. A source that fails is evidence of nothing, and says so. */
export async function gather(facts: LockFacts, sources: readonly Source[] = localSources): Promise<Evidence[]> {
  const asked = sources.map(async (source) => source(facts));
  const answers = await Promise.allSettled(asked);
  return answers.flatMap((answer): Evidence[] => {
    if (answer.status === "fulfilled") return answer.value;
    const detail = `a probe failed: ${messageOf(answer.reason)}`;
    return [{ source: "record", says: "unknown", because: "remote process", detail }];
  });
}

/** A key under a lease is there for as long as its owner renews it; the store has deleted it otherwise. */
function leaseEvidence(leased: boolean | undefined): Evidence[] {
  if (leased === true) return [{ source: "lease", says: "alive", detail: "its lease is alive" }];
  if (leased === undefined) return [];
  const detail = "its key is under no lease: nothing renews it, and nothing ends it";
  return [{ source: "lease", says: "unknown", because: "remote process", detail }];
}

function linkEvidence(link: string | undefined): Evidence[] {
  if (link === undefined) return [];
  const detail = `the link ${link} leads nowhere on this host: what is behind it elsewhere cannot be seen from here`;
  return [{ source: "mount", says: "unknown", because: "link leads nowhere here", detail }];
}

/** An owner that released its lock and died before its marker was removed: its own record is the proof. */
function releasedEvidence(releasedAt: string | null): Evidence[] {
  if (releasedAt === null) return [];
  return [
    { source: "record", says: "dead", because: "PID not running", detail: `released by its owner at ${releasedAt}` },
  ];
}
