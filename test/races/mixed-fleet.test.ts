import { mkdirSync, readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { describeOverlap, type Interval, type Overlap, overlapsOf, readJournal } from "../support/intervals.ts";
import { flockJob, noclobberJob, type Peer, pythonJob, pythonLocks } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { leftovers } from "../support/scenarios.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, run } from "../support/trainlock.ts";
import { monotonic } from "./contenders.ts";
import { clearDeadMarker, type MarkerHolding, type Removal, withRemovedMarkers } from "./removed-markers.ts";

const seconds = Number(process.env.TRAINLOCK_FLEET_SECONDS ?? (process.env.TRAINLOCK_SOAK === "1" ? 60 : 15));
const holderProgram = fileURLToPath(new URL("holder.pl", import.meta.url));
/** When a holder looks after its lock, from the moment that it has it. */
const checksMs = [25, 250, 1000, 31_000];
/** On a machine with more contenders than processors a check that is due waits for its turn. */
const lateMs = 500;

requiresPrograms("perl", "python3", "flock")(
  `${seconds} s of the three old writers, their clear, and trainlock on the same five configurations`,
  async () => {
    const root = await temporaryRoot();
    const journal = join(root, "journal");
    const occupancy = join(root, "occupied");
    mkdirSync(occupancy);
    writeFileSync(journal, "");
    const configurations = ["a", "b", "c", "d", "e"].map((model) => configuration(root, "baseline", "IDD-AW", model));
    const until = Date.now() + seconds * 1000;
    const anyOf = () => configurations[Math.floor(Math.random() * configurations.length)] ?? configuration(root);
    const old: Interval[] = [];
    const oldWithMarkers: MarkerHolding[] = [];
    const cleared: Removal[] = [];
    const exits = new Map<string, number>();
    const surprises: string[] = [];

    const oldWriter = async (peer: Peer) => {
      while (Date.now() < until) {
        const of = anyOf();
        const startedAt = monotonic();
        const running = peer.start(of);
        const holds = await running.waitFor("HELD").then(
          () => true,
          () => false,
        );
        const from = monotonic();
        if (holds) await sleep(10 + Math.random() * 60);
        const to = monotonic();
        const unnamed = holds && hasUnnamedLock(running.pid);
        running.closeInput();
        await running.finished;
        const interval = intervalOf(of, peer.title, running.pid, from, to, unnamed);
        if (holds && peer.kind === "file") oldWithMarkers.push({ ...interval, startedAt, finishedAt: monotonic() });
        else if (holds) old.push(interval);
        await sleep(Math.random() * 30);
      }
    };
    const claimant = async () => {
      while (Date.now() < until) {
        const of = anyOf();
        const duration = Math.random() < 0.2 ? 300 + Math.random() * 900 : Math.random() * 60;
        const command = [
          "perl",
          holderProgram,
          join(occupancy, of.model),
          journal,
          of.model,
          String(Math.floor(duration)),
        ];
        const ended = await run([executable, "run", ...of.args, "--", ...command]);
        const outcome = String(ended.exitCode ?? ended.signal);
        exits.set(outcome, (exits.get(outcome) ?? 0) + 1);
        if (!["0", "74", "75"].includes(outcome)) surprises.push(`exit ${outcome}: ${ended.stderr.trim()}`);
        await sleep(Math.random() * 10);
      }
    };
    const oldClear = async () => {
      while (Date.now() < until) {
        await sleep(300);
        await pythonLocks("clear", configuration(root).lockDir);
        for (const of of configurations) {
          const removal = clearDeadMarker(of, root);
          if (removal !== null) cleared.push(removal);
        }
      }
    };
    await Promise.all([
      ...[noclobberJob, flockJob, pythonJob, noclobberJob, flockJob].map(oldWriter),
      ...Array.from({ length: 5 }, claimant),
      oldClear(),
    ]);

    const { intervals, complaints } = readJournal(journal, new Map());
    const { claims, jobs } = withRemovedMarkers(intervals, oldWithMarkers, cleared);
    old.push(...jobs);
    const overlaps = overlapsOf([...claims, ...old].sort((a, b) => (a.from < b.from ? -1 : 1)));
    const ofClaims = overlaps.filter(involvesClaim);
    const unnamed = claims.filter(({ unnamedAt }) => unnamedAt !== null);
    const excused = ofClaims.filter(isExcused);
    const inexcusable = ofClaims.filter((overlap) => !isExcused(overlap));
    const unnoticed = excused.filter(isUnnoticed);
    tally({
      rounds: claims.length,
      overlaps: inexcusable.length,
      lockFilesLost: unnamed.length,
      oldWritersOverlaps: overlaps.length - ofClaims.length,
    });
    console.info(
      [
        `mixed fleet, ${seconds} s: ${claims.length} claims of trainlock, ${old.length} holdings of old writers`,
        `  ended: ${[...exits].map(([code, times]) => `exit ${code} ${times} times`).join(", ")}`,
        `  overlaps of a claim: ${inexcusable.length}; where an old tool unlinked the lock file or the marker under its holder: ${excused.length}`,
        `  lock files or markers unlinked under a claim: ${unnamed.length}`,
        `  overlaps of old writers with one another: ${overlaps.length - ofClaims.length}${pairsIn(overlaps)}`,
      ].join("\n"),
    );
    expect(surprises).toEqual([]);
    expect(inexcusable.map(describeOverlap)).toEqual([]);
    expect(unnoticed.map(describeOverlap)).toEqual([]);
    // Two claims of trainlock never meet, whatever the old ones do: their marker tells them apart where the lock cannot.
    expect(ofClaims.filter(({ earlier, later }) => isClaim(earlier) && isClaim(later)).map(describeOverlap)).toEqual(
      [],
    );
    expect(complaints).toEqual([]);
    expect(claims.length).toBeGreaterThan(5);
    expect(old.length).toBeGreaterThan(5);
    for (const of of configurations) {
      expect(await run([executable, "run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
      expect(leftovers(of)).toEqual([]);
    }
  },
  300_000,
);

function intervalOf(
  of: TestConfiguration,
  writer: string,
  pid: number,
  from: bigint,
  to: bigint,
  unnamed: boolean,
): Interval {
  const unnamedAt = unnamed ? from : null;
  return { configuration: of.model, pid, from, to, generation: 0, writer, unnamedAt, killed: false };
}

/** Whether an old job holds a lock file that another old tool has unlinked: nobody can see such a lock. */
function hasUnnamedLock(pid: number): boolean {
  try {
    const descriptors = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    return descriptors.some((path) => path.endsWith(".lock (deleted)"));
  } catch {
    return false;
  }
}

const isClaim = ({ writer }: Interval) => writer === "trainlock";
const involvesClaim = ({ earlier, later }: Overlap) => isClaim(earlier) || isClaim(later);

/** The lock file, or the marker, had lost its name under one of them: what follows is an old tool's doing. */
function isExcused({ earlier, later }: Overlap): boolean {
  return earlier.unnamedAt !== null || later.unnamedAt !== null;
}

/** A claim that lost its name to somebody has to end at its next check. */
function isUnnoticed({ earlier, later }: Overlap): boolean {
  const claim = isClaim(earlier) ? earlier : later;
  const { unnamedAt, from, to } = claim;
  if (unnamedAt === null) return false;
  if (to === null) return true;
  const [since = unnamedAt] = unnamedAt < later.from ? [later.from] : [];
  const nextCheck = checksMs.map((ms) => from + BigInt(ms) * 1_000_000n).find((at) => at > since);
  if (nextCheck === undefined) return false;
  // Whoever had ended before that check left the name free, and the claim has healed.
  const other = claim === earlier ? later : earlier;
  if (other.to !== null && other.to < nextCheck) return false;
  return to > nextCheck + BigInt(lateMs) * 1_000_000n;
}

function pairsIn(overlaps: readonly Overlap[]): string {
  const pairs = new Map<string, number>();
  for (const overlap of overlaps.filter((each) => !involvesClaim(each))) {
    const pair = [overlap.earlier.writer, overlap.later.writer].sort().join(" with ");
    pairs.set(pair, (pairs.get(pair) ?? 0) + 1);
  }
  return [...pairs].map(([pair, times]) => `\n    ${pair}: ${times}`).join("");
}
