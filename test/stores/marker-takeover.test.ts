import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import type { MarkerFacts } from "../../src/model/lock-facts.ts";
import { placeMarker } from "../../src/stores/folder/marker.ts";
import {
  moveAway,
  putHeirInPlace,
  type Succession,
  succeed,
  sweepSuccessions,
} from "../../src/stores/folder/marker-succession.ts";
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

function heirOf(outcome: Awaited<ReturnType<typeof succeed>>): Succession {
  if (outcome === "changed" || "objection" in outcome) throw new Error(`no heir: ${JSON.stringify(outcome)}`);
  return outcome;
}

test("a dead marker has one heir; others find him, and who he is", async () => {
  const { folder, dead } = await deadMarker();
  const outcomes: Awaited<ReturnType<typeof succeed>>[] = [];
  for (let pid = 100; pid < 116; pid += 1) outcomes.push(await succeed(folder, dead, pid, untold, everybodyLives));
  heirOf(outcomes[0] ?? "changed");
  for (const other of outcomes.slice(1)) expect(other).toEqual({ objection: 100 });
});

test("an heir who died has an heir of his own, and only one", async () => {
  const { folder, dead } = await deadMarker();
  for (let died = 0; died < 3; died += 1) heirOf(await succeed(folder, dead, 100 + died, untold, everybodyIsDead));
  const lastOnly = async ({ pid }: MarkerFacts) => (pid === 102 ? pid : null);
  expect(await succeed(folder, dead, 103, untold, lastOnly)).toEqual({ objection: 102 });
});

test("an heir who died after the exchange is taken over from where he stands", async () => {
  const { folder, dead } = await deadMarker();
  const first = heirOf(await succeed(folder, dead, 100, untold, everybodyIsDead));
  // Killed between the exchange and what follows it: his file and the dead one have changed places.
  renameSync(first.heir.path, join(folder, "his"));
  renameSync(join(folder, ".training_lock"), first.heir.path);
  renameSync(join(folder, "his"), join(folder, ".training_lock"));
  const next = heirOf(await succeed(folder, markerIn(folder), 101, untold, everybodyIsDead));
  expect(putHeirInPlace(folder, next, false)).toMatchObject({ path: join(folder, ".training_lock") });
  expect(readFileSync(join(folder, ".training_lock"), "utf8")).toBe("101\n");
});

test("who judged the dead marker before it was replaced cannot replace what came after it", async () => {
  const { folder, dead } = await deadMarker();
  const first = heirOf(await succeed(folder, dead, 100, untold, everybodyIsDead));
  expect(typeof putHeirInPlace(folder, first, false)).toBe("object");
  const late = heirOf(await succeed(folder, dead, 101, untold, everybodyIsDead));
  expect(putHeirInPlace(folder, late, false)).toBe("changed");
  expect(moveAway(folder, late)).toBe("changed");
  late.heir.remove();
  expect(readFileSync(join(folder, ".training_lock"), "utf8")).toBe("100\n");
});

test("an heir whose dead marker was removed by hand places nothing", async () => {
  const { folder, dead } = await deadMarker();
  const { heir, ...rest } = heirOf(await succeed(folder, dead, 100, untold, everybodyIsDead));
  renameSync(join(folder, ".training_lock"), join(folder, "away"));
  expect(putHeirInPlace(folder, { heir, ...rest }, true)).toBe("changed");
  expect(existsSync(join(folder, ".training_lock"))).toBe(false);
  expect(placeMarker(folder, 7, untold)).not.toBe("occupied");
});

test("what is moved away is gone with all that spoke of it", async () => {
  const { folder, dead } = await deadMarker();
  heirOf(await succeed(folder, dead, 100, untold, everybodyIsDead));
  const second = heirOf(await succeed(folder, dead, 101, untold, everybodyIsDead));
  expect(moveAway(folder, second)).toBe("removed");
  second.heir.remove();
  expect(readdirSync(folder)).toEqual([]);
});

test("a folder in the place of an heir is nobody's to judge dead", async () => {
  const { folder, dead } = await deadMarker();
  const first = heirOf(await succeed(folder, dead, 100, untold, everybodyIsDead));
  const path = first.heir.path;
  first.heir.remove();
  mkdirSync(path);
  const found: MarkerFacts[] = [];
  await succeed(folder, dead, 101, untold, async (marker) => {
    found.push(marker);
    return "unknown";
  });
  expect(found).toMatchObject([{ content: "foreign", why: "a folder" }]);
});

test("what is left of a marker that had the same inode number is swept, one's own heir is not", async () => {
  const { folder, dead } = await deadMarker();
  heirOf(await succeed(folder, dead, 100, untold, everybodyIsDead));
  const path = join(folder, ".training_lock");
  utimesSync(path, 1, 1);
  const later = markerIn(folder);
  const { heir } = heirOf(await succeed(folder, later, 101, untold, everybodyIsDead));
  expect(later.inode).toBe(dead.inode);
  sweepSuccessions(folder, { ...heir, path, inode: later.inode });
  expect(readdirSync(folder).sort()).toEqual([".training_lock", basename(heir.path)]);
});
