import type { LockFacts } from "../../model/lock-facts.ts";
import { type Layout, markerPath } from "../../site/layout.ts";
import { linkToNowhere } from "../../system/files/allowed-links.ts";

/**
 * What is known of the marker of a weights dir behind an allowed link that leads nowhere on this host: nothing. Null: there is no
 * such link.
 */
export function markerBehindLink(layout: Layout, weightsDir: string, name: string, lockPath: string): LockFacts | null {
  const link = linkToNowhere(layout, weightsDir);
  if (link === null) return null;
  return {
    kind: "file",
    name,
    path: markerPath(weightsDir),
    lockPath,
    weightsDir,
    kernelLock: { state: "absent" },
    record: null,
    recordProblem: null,
    marker: null,
    leadsNowhere: link.path,
    pid: null,
    startedAt: null,
  };
}
