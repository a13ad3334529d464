import { describe, expect, test } from "vitest";
import { sharedCluster } from "../etcd/cluster.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";
import { type Overlap, playRound, type Round, randomFrom, type Where } from "./random-trees.ts";

/** `npm run test:trees -- [--on PLACE] [--at-once N] ROUNDS [SEED]` plays more of them. */
const rounds = Number(process.env.TRAINLOCK_TREE_ROUNDS ?? 6);
const seed = Number(process.env.TRAINLOCK_TREE_SEED ?? 1);
const atOnce = Number(process.env.TRAINLOCK_TREE_AT_ONCE ?? 3);

const cluster = sharedCluster();
const plain = { before: [], env: {}, options: [] };
const places = [
  { name: "on files", needs: ["perl"], open: async (): Promise<Where> => ({ name: "on files", ...plain }) },
  {
    name: "without kernel locks",
    needs: ["perl", "unshare --mount"],
    open: async (root: string): Promise<Where> => ({
      ...plain,
      name: "without kernel locks",
      before: lustreWithoutLocks(root).toldAndTrue,
    }),
  },
  {
    name: "on etcd",
    needs: ["perl", "etcd", "etcdctl"],
    open: async (): Promise<Where> => {
      const { url, env } = await cluster();
      return { ...plain, name: "on etcd", env: { ...env, TRAINLOCK_STORE: url }, options: ["--ttl", "5s"] };
    },
  },
] as const;

/** A wrapper notes its tree about once a second. A worker that trained for longer has been noted. */
const longestUnnotedSeconds = 3;

/**
 * The one shape of docs/guarantees.md: a process that has neither the lock's descriptor (there is none where there is no kernel
 * lock) nor the claim's variables, and that the wrapper was killed too early to have noted. The other training has begun when
 * no process with any of the three was left.
 */
function leavesNoTrace({ victim, shape, where, killed }: Omit<Round, "overlaps">, { labels, from }: Overlap): boolean {
  const canHideAll = shape.includes("clear") && (shape.includes("close") || where !== "on files");
  if (killed === null || !victim.startsWith("the wrapper") || !canHideAll) return false;
  return labels.includes(killed.label) && killed.trainedSeconds < longestUnnotedSeconds && killed.tracedUntil < from;
}

const overlapsWithTrace = (round: Round) => round.overlaps.filter((overlap) => !leavesNoTrace(round, overlap));

test("an overlap is counted apart only where the killed training had left no trace when the other began", () => {
  const round = {
    where: "on files",
    shape: ["close", "clear"],
    victim: "the wrapper",
    killed: { label: "a", trainedSeconds: 0.2, tracedUntil: 10 },
    trained: 2,
    exitCodes: [],
  } as const;
  const overlap: Overlap = { labels: ["a", "b"], from: 11, seconds: 1 };
  expect(leavesNoTrace(round, overlap)).toBe(true);
  expect(leavesNoTrace({ ...round, shape: ["clear"], where: "on etcd" }, overlap)).toBe(true);
  const others: readonly Partial<Round>[] = [
    { shape: ["close", "daemon"] },
    { shape: ["clear", "daemon"] },
    { victim: "the command" },
    { killed: null },
    { killed: { ...round.killed, label: "c" } },
    { killed: { ...round.killed, trainedSeconds: 4 } },
    { killed: { ...round.killed, tracedUntil: 12 } },
  ];
  for (const other of others)
    expect({ other, apart: leavesNoTrace({ ...round, ...other }, overlap) }).toEqual({ other, apart: false });
});

/** How many rounds there were with the wrapper alive and killed, and each overlap that was counted apart. */
function tallyOf(name: string, played: readonly Round[], apart: readonly Round[]): string {
  const killed = played.filter(({ victim }) => victim.startsWith("the wrapper")).length;
  const lines = apart.map(({ shape, victim, overlaps }) => {
    const longest = Math.round(1000 * Math.max(...overlaps.map(({ seconds }) => seconds)));
    return `  ${victim} killed, ${shape.join(" ")}: ${longest} ms`;
  });
  const counted = `${apart.length} overlaps of the shape that leaves no trace`;
  return [
    `${name}: ${played.length - killed} rounds in which the wrapper lives, ${killed} with it killed: ${counted}`,
    ...lines,
  ].join("\n");
}

describe.each(places)("random trees, a process of one killed at a random moment, $name", ({ needs, open, name }) => {
  requiresPrograms(...needs)(
    "no two train at once, and each that was not killed trains",
    async () => {
      const root = await temporaryRoot();
      const where = await open(root);
      const played: Round[] = [];
      let next = 0;
      await Promise.all(
        Array.from({ length: Math.min(atOnce, rounds) }, async () => {
          while (next < rounds) {
            const number = next;
            next += 1;
            played.push(await playRound(root, number, where, randomFrom(seed * 1_000_003 + number)));
          }
        }),
      );
      const apart = played.filter((round) => round.overlaps.length > overlapsWithTrace(round).length);
      if (rounds > 100) console.log(tallyOf(name, played, apart));
      expect(played.filter((round) => overlapsWithTrace(round).length > 0)).toEqual([]);
      expect(played.filter(({ trained, victim }) => victim === "nobody" && trained < 3)).toEqual([]);
      expect(played.filter(({ trained }) => trained < 2)).toEqual([]);
    },
    60_000 + rounds * 10_000,
  );
});

requiresPrograms("perl")("without trainlock the same rounds have overlaps, and the checker sees them", async () => {
  const where: Where = { name: "without trainlock", ...plain, unlocked: true };
  const root = await temporaryRoot();
  const played = await Promise.all(
    [0, 1, 2].map((number) => playRound(root, number, where, randomFrom(seed + number))),
  );
  for (const { overlaps } of played) expect(overlaps.length).toBeGreaterThan(0);
});
