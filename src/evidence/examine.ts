import type { Evidence, Verdict } from "../model/evidence.ts";
import type { LockFacts } from "../model/lock-facts.ts";
import { gather, localSources, type Source } from "./gather.ts";
import { judge } from "./judge.ts";

/** Gathers the evidence on one lock and judges it. */
export async function examine(
  facts: LockFacts,
  sources: readonly Source[] = localSources,
): Promise<{ readonly verdict: Verdict; readonly evidence: readonly Evidence[] }> {
  const evidence = await gather(facts, sources);
  return { verdict: judge(evidence), evidence };
}
