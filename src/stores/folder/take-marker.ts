import type { MarkerFacts } from "../../model/lock-facts.ts";
import type { OwnerRecord } from "../../model/owner-record.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import { asReleased, withMarker } from "../claim-record.ts";
import type { Busy } from "../store.ts";
import { excludesAllHosts } from "./claim-lock.ts";
import { busyMarker, judgeMarker, type MarkerContext, type MarkerOwner } from "./judge-owner.ts";
import { type Announce, type PlacedMarker, placeMarker } from "./marker.ts";
import { electSuccessor, replaceAsSuccessor, replaceUnderKernelLock } from "./marker-takeover.ts";
import { readMarker } from "./read-marker.ts";
import { writeMarkerRecord } from "./temporary-file.ts";

/** A marker that keeps changing hands while we look at it is somebody's, this many looks later. */
const mostLooks = 5;

type Taken = PlacedMarker | "occupied" | "changed";

/** Takes the marker of a configuration whose kernel lock is held: a free place, or that of a dead one. */
export async function takeMarker(
  context: MarkerContext,
  record: OwnerRecord,
): Promise<{ readonly placed: PlacedMarker } | { readonly busy: Busy }> {
  const { kernel, weightsDir, folder } = context;
  const pid = record.pid ?? process.pid;
  let announced = false;
  const announce: Announce = (own) => {
    announced = true;
    kernel.write(serializeOwnerRecord(withMarker(record, own)));
  };
  let placed: Taken = "changed";
  try {
    for (let looks = 1; ; looks += 1) {
      const marker = readMarker(folder);
      const taken =
        marker === null ? placeMarker(folder, pid, announce) : await takeOver(context, marker, pid, announce);
      if (typeof taken === "object" && "busy" in taken) return taken;
      placed = taken;
      if (typeof placed !== "string") return { placed };
      if (looks === mostLooks) {
        const active = { verdict: { status: "active", label: "ACTIVE" }, evidence: [] } as const;
        return { busy: busyMarker(weightsDir, readMarker(folder), null, active) };
      }
    }
  } finally {
    if (announced && typeof placed === "string") kernel.write(serializeOwnerRecord(asReleased(record)));
  }
}

async function takeOver(
  context: MarkerContext,
  marker: MarkerFacts,
  pid: number,
  announce: Announce,
): Promise<Taken | { readonly busy: Busy }> {
  const { kernel, folder } = context;
  const owner = await judgeMarker(context, marker);
  try {
    if (owner.busy !== null) return { busy: owner.busy };
    // The lock file is about to speak of our marker: what it said of the dead one must outlive a crash in between.
    if (kernel.excludes && owner.record !== null && owner.onlyElsewhere)
      writeMarkerRecord(folder, serializeOwnerRecord(owner.record));
    if (!excludesAllHosts(kernel)) return await takeOverAsSuccessor(context, marker, owner, pid, announce);
    return replaceUnderKernelLock(folder, marker, pid, announce);
  } finally {
    owner.otherLock?.release();
  }
}

/** Where no kernel lock keeps all other contenders away, only one of them becomes the successor. */
async function takeOverAsSuccessor(
  context: MarkerContext,
  marker: MarkerFacts,
  { record, examined }: MarkerOwner,
  pid: number,
  announce: Announce,
): Promise<Taken | { readonly busy: Busy }> {
  const { weightsDir, folder } = context;
  const judge = async (successor: MarkerFacts): Promise<Busy | null> => {
    const { busy, otherLock } = await judgeMarker(context, successor);
    otherLock?.release();
    return busy;
  };
  const takeover = await electSuccessor(folder, marker, pid, announce, judge);
  if (takeover === "changed") return "changed";
  if ("objection" in takeover) return { busy: takeover.objection };
  let placed: PlacedMarker | "changed" | "unable" = "changed";
  try {
    placed = replaceAsSuccessor(folder, takeover, context.kernel.excludes);
  } finally {
    if (typeof placed === "string") takeover.successor.remove();
  }
  if (placed !== "unable") return placed;
  const detail =
    "files cannot be exchanged here, so that run takes nothing over: trainlock clear --no-dry-run removes it";
  const evidence = [
    ...examined.evidence,
    { source: "marker", says: "unknown", because: "remote process", detail } as const,
  ];
  return { busy: busyMarker(weightsDir, marker, record, { ...examined, evidence }) };
}
