import type { Evidence } from "../model/evidence.ts";
import type { Examine } from "../model/examine.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { isNewer } from "../model/owner-record.ts";
import { gather, localSources, type Source } from "./gather.ts";
import { judge } from "./judge.ts";
import { lastWriteEvidence } from "./last-write.ts";
import { type RemoteOptions, remoteOptionsOf } from "./remote/options.ts";

/**
 * One call's way to examine locks: what this host can tell, and schedulers and other hosts for what that leaves unknown. Make
 * it once a call, so that they are asked once for all locks.
 */
export function makeExamine(options: RemoteOptions = remoteOptionsOf()): Examine {
  let remote: Promise<Source> | undefined;
  return async (facts) => {
    const local = await gather(facts, localSources);
    const verdict = judge(withoutKnowing(facts, local));
    // A marker that is just being written has no owner to ask about yet.
    if (verdict.status !== "unknown" || verdict.because === "being created")
      return { verdict, evidence: withoutKnowing(facts, local) };
    // Most calls ask nobody: they do not load this.
    remote ??= import("./remote/remote-source.ts").then(({ remoteSource }) => remoteSource(options));
    const evidence = withoutKnowing(facts, [...local, ...(await gather(facts, [await remote]))]);
    const final = judge(evidence);
    if (final.status !== "unknown") return { verdict: final, evidence };
    return { verdict: final, evidence: [...evidence, ...lastWriteEvidence(facts.weightsDir)] };
  };
}

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
