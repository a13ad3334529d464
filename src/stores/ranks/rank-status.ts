import { readdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { kernelLockStem } from "../../site/layout.ts";
import { readRegularFile } from "../../system/files/read-regular-file.ts";
import { makeSharedFolder } from "../../system/files/shared-permissions.ts";
import { writeByRename } from "../../system/files/write-by-rename.ts";

const wordSuffix = ".ranks";
const largestWordBytes = 4096;
const forgetAfterMs = 86_400_000;

/**
 * What rank 0 lets the other ranks of its launch know. `asking`: it has not got the lock yet. `held`: start. `ended`: its
 * command is over, and it holds the lock for those that are not. `lost`: stop. `over`: it was turned away, there was nothing
 * to do, or all is done.
 */
export interface RankWord {
  readonly state: "asking" | "held" | "ended" | "lost" | "over";
  readonly token: string | null;
  readonly generation: number;
}

const wordSchema = v.object({
  state: v.picklist(["asking", "held", "ended", "lost", "over"]),
  token: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/))),
  generation: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});

/** Beside the kernel lock file, one a launch. */
export function rankWordPath(lockPath: string, launchKey: string): string {
  return join(dirname(lockPath), `${kernelLockStem(lockPath)}.${launchKey}${wordSuffix}`);
}

export function isRankWord(path: string): boolean {
  return path.endsWith(wordSuffix);
}

export function writeRankWord(path: string, word: RankWord): void {
  makeSharedFolder(dirname(path));
  writeByRename(path, Buffer.from(`${JSON.stringify(word)}\n`));
}

/** Null when nothing readable is there. */
export function readRankWord(path: string): { readonly word: RankWord; readonly writtenAtMs: number } | null {
  const file = readRegularFile(path, largestWordBytes);
  if (file.kind !== "file") return null;
  try {
    const parsed = v.safeParse(wordSchema, JSON.parse(file.bytes.toString("utf8")));
    return parsed.success ? { word: parsed.output, writtenAtMs: Number(file.stats.mtimeMs) } : null;
  } catch {
    return null;
  }
}

/** Says what a rank that has joined is doing: the lock is kept until none of them runs. */
export function writePresence(wordPath: string, rank: number, state: "running" | "ended"): void {
  writeByRename(`${wordPath}.${rank}`, Buffer.from(`${state}\n`));
}

/** How many ranks have joined, and how many of them run. */
export function readPresence(wordPath: string): { readonly joined: number; readonly running: number } {
  const states = presencePaths(wordPath).map((path) => {
    const file = readRegularFile(path, largestWordBytes);
    return file.kind === "file" ? file.bytes.toString("latin1").trim() : "running";
  });
  return { joined: states.length, running: states.filter((state) => state === "running").length };
}

export function removePresence(wordPath: string): void {
  for (const path of presencePaths(wordPath)) rmSync(path, { force: true });
}

function presencePaths(wordPath: string): string[] {
  const stem = `${basename(wordPath)}.`;
  const names = readdirSync(dirname(wordPath)).filter((name) => name.startsWith(stem));
  return names.filter((name) => /^\d+$/.test(name.slice(stem.length))).map((name) => join(dirname(wordPath), name));
}

/** Removes what launches of this configuration left days ago. */
export function sweepRankWords(lockPath: string): void {
  const folder = dirname(lockPath);
  const stem = `${kernelLockStem(lockPath)}.`;
  try {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      if (!name.startsWith(stem) || !/\.ranks(\.\d+)?$/.test(name)) continue;
      if (Date.now() - statSync(path).mtimeMs > forgetAfterMs) rmSync(path, { force: true });
    }
  } catch {
    // Somebody else's file, or gone meanwhile: it is in nobody's way.
  }
}
