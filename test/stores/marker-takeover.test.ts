import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import type { MarkerFacts } from "../../src/model/lock-facts.ts";
import { placeMarker } from "../../src/stores/folder/marker.ts";
import {
  electSuccessor,
  removeByRename,
  replaceAsSuccessor,
  sweepSuccessors,
  type Takeover,
} from "../../src/stores/folder/marker-takeover.ts";
import { readMarker } from "../../src/stores/folder/read-marker.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

const untold = () => {};
const everybodyIsDead = async () => null;
const everybodyLives = async ({ pid }: MarkerFacts) => pid;

async function deadMarker(): Promise<{ folder: string; dead: MarkerFacts }> {
  const folder = join(await temporaryRoot(), "weights");
  mkdirSync(folder);
  writeFileSync(join(folder, ".training_lock"), "1\n");
  return { folder, dead: markerIn(folder) };
}

function markerIn(folder: string): MarkerFacts {
  const marker = readMarker(folder);
  if (marker === null) throw new Error("no marker");
  return marker;
}

function takeoverOf(outcome: Awaited<ReturnType<typeof electSuccessor>>): Takeover {
  if (outcome === "changed" || "objection" in outcome) throw new Error(`no successor: ${JSON.stringify(outcome)}`);
  return outcome;
}

test("a dead marker has one successor; others find it, and whose it is", async () => {
  const { folder, dead } = await deadMarker();
  const outcomes: Awaited<ReturnType<typeof electSuccessor>>[] = [];
  for (let pid = 100; pid < 116; pid += 1)
    outcomes.push(await electSuccessor(folder, dead, pid, untold, everybodyLives));
  takeoverOf(outcomes[0] ?? "changed");
  for (const other of outcomes.slice(1)) expect(other).toEqual({ objection: 100 });
});

test("a successor who died has a successor of its own, and only one", async () => {
  const { folder, dead } = await deadMarker();
  for (let died = 0; died < 3; died += 1)
    takeoverOf(await electSuccessor(folder, dead, 100 + died, untold, everybodyIsDead));
  const lastOnly = async ({ pid }: MarkerFacts) => (pid === 102 ? pid : null);
  expect(await electSuccessor(folder, dead, 103, untold, lastOnly)).toEqual({ objection: 102 });
});

test("a successor who died after the exchange is taken over from where it stands", async () => {
  const { folder, dead } = await deadMarker();
  const first = takeoverOf(await electSuccessor(folder, dead, 100, untold, everybodyIsDead));
  // Killed between the exchange and what follows it: its file and the dead one have changed places.
  renameSync(first.successor.path, join(folder, "its own"));
  renameSync(join(folder, ".training_lock"), first.successor.path);
  renameSync(join(folder, "its own"), join(folder, ".training_lock"));
  const next = takeoverOf(await electSuccessor(folder, markerIn(folder), 101, untold, everybodyIsDead));
  expect(replaceAsSuccessor(folder, next, false)).toMatchObject({ path: join(folder, ".training_lock") });
  expect(readFileSync(join(folder, ".training_lock"), "utf8")).toBe("101\n");
});

test("who judged the dead marker before it was replaced cannot replace what came after it", async () => {
  const { folder, dead } = await deadMarker();
  const first = takeoverOf(await electSuccessor(folder, dead, 100, untold, everybodyIsDead));
  expect(typeof replaceAsSuccessor(folder, first, false)).toBe("object");
  const late = takeoverOf(await electSuccessor(folder, dead, 101, untold, everybodyIsDead));
  expect(replaceAsSuccessor(folder, late, false)).toBe("changed");
  expect(removeByRename(folder, late)).toBe("changed");
  late.successor.remove();
  expect(readFileSync(join(folder, ".training_lock"), "utf8")).toBe("100\n");
});

test("a successor whose dead marker was removed by hand places nothing", async () => {
  const { folder, dead } = await deadMarker();
  const { successor, ...rest } = takeoverOf(await electSuccessor(folder, dead, 100, untold, everybodyIsDead));
  renameSync(join(folder, ".training_lock"), join(folder, "away"));
  expect(replaceAsSuccessor(folder, { successor, ...rest }, true)).toBe("changed");
  expect(existsSync(join(folder, ".training_lock"))).toBe(false);
  expect(placeMarker(folder, 7, untold)).not.toBe("occupied");
});

test("what is moved away is gone with all that spoke of it", async () => {
  const { folder, dead } = await deadMarker();
  takeoverOf(await electSuccessor(folder, dead, 100, untold, everybodyIsDead));
  const second = takeoverOf(await electSuccessor(folder, dead, 101, untold, everybodyIsDead));
  expect(removeByRename(folder, second)).toBe("removed");
  second.successor.remove();
  expect(readdirSync(folder)).toEqual([]);
});

test("a folder in the place of a successor is nobody's to judge dead", async () => {
  const { folder, dead } = await deadMarker();
  const first = takeoverOf(await electSuccessor(folder, dead, 100, untold, everybodyIsDead));
  const path = first.successor.path;
  first.successor.remove();
  mkdirSync(path);
  const found: MarkerFacts[] = [];
  await electSuccessor(folder, dead, 101, untold, async (marker) => {
    found.push(marker);
    return "unknown";
  });
  expect(found).toMatchObject([{ content: "foreign", why: "a folder" }]);
});

test("what is left of a marker that had the same inode number is swept, one's own successor is not", async () => {
  const { folder, dead } = await deadMarker();
  takeoverOf(await electSuccessor(folder, dead, 100, untold, everybodyIsDead));
  const path = join(folder, ".training_lock");
  utimesSync(path, 1, 1);
  const later = markerIn(folder);
  const { successor } = takeoverOf(await electSuccessor(folder, later, 101, untold, everybodyIsDead));
  expect(later.inode).toBe(dead.inode);
  sweepSuccessors(folder, { ...successor, path, inode: later.inode });
  expect(readdirSync(folder).sort()).toEqual([".training_lock", basename(successor.path)]);
});
