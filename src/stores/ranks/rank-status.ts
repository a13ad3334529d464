import { readdirSync, rmSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import * as v from "valibot";
import { kernelLockStem } from "../../site/layout.ts";
import { readRegularFile } from "../../system/files/read-regular-file.ts";
import { makeSharedFolder } from "../../system/files/shared-permissions.ts";
import { writeByRename } from "../../system/files/write-by-rename.ts";

const statusSuffix = ".ranks";
const largestStatusBytes = 4096;
const forgetAfterMs = 86_400_000;

/**
 * What rank 0 lets the other ranks of its launch know. `asking`: it has not got the lock yet. `held`: start. `ended`: its
 * command is over, and it holds the lock for those that are not. `lost`: stop. `over`: it was turned away, there was nothing
 * to do, or all is done.
 */
export interface RankStatus {
  readonly state: "asking" | "held" | "ended" | "lost" | "over";
  readonly token: string | null;
  readonly generation: number;
}

const statusSchema = v.object({
  state: v.picklist(["asking", "held", "ended", "lost", "over"]),
  token: v.nullable(v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/))),
  generation: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});

/** Beside the kernel lock file, one a launch. */
export function rankStatusPath(lockPath: string, launchKey: string): string {
  return join(dirname(lockPath), `${kernelLockStem(lockPath)}.${launchKey}${statusSuffix}`);
}

export function isRankStatus(path: string): boolean {
  return path.endsWith(statusSuffix);
}

export function writeRankStatus(path: string, status: RankStatus): void {
  makeSharedFolder(dirname(path));
  writeByRename(path, Buffer.from(`${JSON.stringify(status)}\n`));
}

/** Null when nothing readable is there. */
export function readRankStatus(path: string): { readonly status: RankStatus; readonly writtenAtMs: number } | null {
  const file = readRegularFile(path, largestStatusBytes);
  if (file.kind !== "file") return null;
  try {
    const parsed = v.safeParse(statusSchema, JSON.parse(file.bytes.toString("utf8")));
    return parsed.success ? { status: parsed.output, writtenAtMs: Number(file.stats.mtimeMs) } : null;
  } catch {
    return null;
  }
}

/** Says what a rank that has joined is doing: the lock is kept until none of them runs. */
export function writePresence(statusPath: string, rank: number, state: "running" | "ended"): void {
  writeByRename(`${statusPath}.${rank}`, Buffer.from(`${state}\n`));
}

/** How many ranks have joined, and how many of them run. */
export function readPresence(statusPath: string): { readonly joined: number; readonly running: number } {
  const states = presencePaths(statusPath).map((path) => {
    const file = readRegularFile(path, largestStatusBytes);
    return file.kind === "file" ? file.bytes.toString("latin1").trim() : "running";
  });
  return { joined: states.length, running: states.filter((state) => state === "running").length };
}

export function removePresence(statusPath: string): void {
  for (const path of presencePaths(statusPath)) rmSync(path, { force: true });
}

function presencePaths(statusPath: string): string[] {
  const stem = `${basename(statusPath)}.`;
  const names = readdirSync(dirname(statusPath)).filter((name) => name.startsWith(stem));
  return names.filter((name) => /^\d+$/.test(name.slice(stem.length))).map((name) => join(dirname(statusPath), name));
}

/** Removes what launches of this configuration left days ago. */
export function sweepRankStatuses(lockPath: string): void {
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
