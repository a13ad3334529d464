import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { escaped } from "../site/condition.ts";
import type { ProgressDeclaration } from "../site/progress-declaration.ts";
import { localIso } from "../system/clock/local-time.ts";
import { isFolder } from "../system/files/look-into.ts";
import { type FileEnds, readEnds } from "../system/files/read-ends.ts";
import { checkpointProgress, lastCheckpointStep, lastStepOf } from "./checkpoints.ts";
import { metricsStep, versionFolder } from "./lightning-metrics.ts";
import { logLineStep } from "./log-line.ts";
import { runFolder, scalarsStep } from "./mmengine-scalars.ts";
import type { Progress, Step } from "./progress.ts";
import { checkpointFolder, trainerStateStep } from "./trainer-state.ts";

/** So much of a file is read, and no more of it before this time is over: a page that is looked at all day costs little. */
const mostBytes = 64 * 1024;
const everyMs = 30_000;
/** Logs among which the newest is looked for. */
const mostLogs = 32;

/** A file of a weights dir that may say how far its run is. */
interface Source {
  readonly path: string;
  step(ends: FileEnds): Step | null;
}

interface Known {
  readonly readAtMs: number;
  readonly step: Step | null;
  readonly modifiedMs: number;
}

/** Finds out how far runs are. Keeps what it has read for half a minute; never throws. */
export class ProgressReader {
  readonly #declared: ProgressDeclaration | null;
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();

  constructor(declared: ProgressDeclaration | null, now: () => number = () => performance.now()) {
    this.#declared = declared;
    this.#now = now;
  }

  /**
   * How far the run in a weights dir with these names is: what its log says, or its checkpoints where they are further. `when`:
   * the names that show it to be done.
   */
  read(weightsDir: string, names: readonly string[], when: readonly string[]): Progress | null {
    const checkpoint = checkpointProgress(names, when);
    const inEpochs = lastStepOf("epochs", when) !== null;
    for (const source of [
      ...logsOf(weightsDir, names, inEpochs),
      ...this.#declaredLog(weightsDir, names),
      ...lastCheckpoint(names),
    ]) {
      const known = this.#look(weightsDir, source);
      if (known?.step == null) continue;
      const { step, of, unit } = known.step;
      const last = of ?? lastStepOf(unit === "unknown" ? "iterations" : unit, when);
      // A log of an earlier try may end before the checkpoint from which the run went on.
      if (checkpoint !== null && checkpoint.of === last && checkpoint.step > step) break;
      // A log in epochs beside a rule in iterations, or the other way: the checkpoints are in the rule's own words.
      if (last === null && checkpoint !== null && checkpoint.of !== null) break;
      return { step, of: last, source: source.path, at: localIso(known.modifiedMs * 1000) };
    }
    return checkpoint === null ? null : { ...checkpoint, at: modifiedAt(join(weightsDir, checkpoint.source)) };
  }

  /** The same, whatever names are there. */
  readFolder(weightsDir: string, when: readonly string[]): Progress | null {
    return this.read(weightsDir, namesIn(weightsDir), when);
  }

  #look(weightsDir: string, { path, step }: Source): Known | null {
    const key = `${weightsDir}/${path}`;
    const before = this.#known.get(key);
    const nowMs = this.#now();
    if (before !== undefined && nowMs - before.readAtMs < everyMs) return before;
    const ends = readEnds(key, mostBytes);
    const known = { readAtMs: nowMs, step: ends === null ? null : step(ends), modifiedMs: ends?.modifiedMs ?? 0 };
    this.#known.set(key, known);
    if (this.#known.size > 10_000) this.#forgetOld(nowMs);
    return known;
  }

  #forgetOld(nowMs: number): void {
    for (const [key, { readAtMs }] of this.#known) if (nowMs - readAtMs >= everyMs) this.#known.delete(key);
  }

  #declaredLog(weightsDir: string, names: readonly string[]): Source[] {
    if (this.#declared === null) return [];
    const { file, line } = this.#declared;
    const path = newestMatch(weightsDir, names, file.split("/"));
    return path === null ? [] : [{ path, step: ({ end }) => logLineStep(end, line) }];
  }
}

function lastCheckpoint(names: readonly string[]): Source[] {
  return names.includes("last_checkpoint")
    ? [{ path: "last_checkpoint", step: ({ start }) => lastCheckpointStep(start) }]
    : [];
}

/** Logs of known programs, those of the newest run. */
function logsOf(weightsDir: string, names: readonly string[], inEpochs: boolean): Source[] {
  const sources: Source[] = [];
  const run = newestBy(names, runFolder, (name) => name);
  for (const folder of run === null ? ["vis_data"] : [`${run}/vis_data`, "vis_data"]) {
    if (!names.includes(folder.split("/")[0] ?? "") || !isOwnFolder(weightsDir, folder)) continue;
    sources.push({ path: `${folder}/scalars.json`, step: ({ end }) => scalarsStep(end, inEpochs) });
  }
  for (const folder of ["lightning_logs", ""]) {
    if (folder !== "" && !(names.includes(folder) && isOwnFolder(weightsDir, folder))) continue;
    const inside = folder === "" ? names : namesIn(join(weightsDir, folder));
    const version = newestBy(inside, versionFolder, Number);
    const place = [folder, version ?? ""].filter((part) => part !== "").join("/");
    if (version === null ? !inside.includes("metrics.csv") : !isOwnFolder(weightsDir, place)) continue;
    const path = place === "" ? "metrics.csv" : `${place}/metrics.csv`;
    sources.push({ path, step: ({ start, end }) => metricsStep(start, end) });
  }
  const saved = newestBy(names, checkpointFolder, Number);
  const state = ({ start, end }: FileEnds) => trainerStateStep(start, end);
  if (saved !== null && isOwnFolder(weightsDir, saved))
    sources.push({ path: `${saved}/trainer_state.json`, step: state });
  else if (names.includes("trainer_state.json")) sources.push({ path: "trainer_state.json", step: state });
  return sources;
}

/** The name whose captured part, or all of it, is the largest. */
function newestBy<T extends string | number>(
  names: readonly string[],
  shape: RegExp,
  rank: (text: string) => T,
): string | null {
  let best: { name: string; rank: T } | null = null;
  for (const name of names) {
    const [all, part] = shape.exec(name) ?? [];
    if (all === undefined) continue;
    const own = rank(part ?? all);
    if (best === null || own > best.rank) best = { name, rank: own };
  }
  return best?.name ?? null;
}

/** Whether a way of folders leads there without a link: it must not lead out of the weights dir. */
function isOwnFolder(weightsDir: string, folder: string): boolean {
  try {
    let path = weightsDir;
    return folder.split("/").every((name) => {
      path = `${path}/${name}`;
      return isFolder(path);
    });
  } catch {
    return false;
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** The file that a declared path means: of several, the one written last. Null: none. */
function newestMatch(weightsDir: string, names: readonly string[], parts: readonly string[]): string | null {
  const folder = parts.slice(0, -1).join("/");
  const wanted = parts.at(-1) ?? "";
  if (folder !== "" && !isOwnFolder(weightsDir, folder)) return null;
  const inside = folder === "" ? names : namesIn(join(weightsDir, folder));
  const shape = new RegExp(`^${wanted.split("*").map(escaped).join(".*")}$`, "s");
  const matches = inside
    .filter((name) => shape.test(name))
    .sort()
    .slice(-mostLogs);
  const place = (name: string) => (folder === "" ? name : `${folder}/${name}`);
  const only = matches.length === 1 ? matches[0] : undefined;
  if (only !== undefined) return place(only);
  const written = (name: string) => modifiedMs(join(weightsDir, place(name))) ?? 0;
  const dated = matches.map((name) => ({ name, at: written(name) }));
  const newest = dated.sort((a, b) => b.at - a.at)[0];
  return newest === undefined ? null : place(newest.name);
}

function modifiedAt(path: string): string | null {
  const ms = modifiedMs(path);
  return ms === null ? null : localIso(ms * 1000);
}

function modifiedMs(path: string): number | null {
  try {
    return statSync(path).mtimeMs;
  } catch {
    return null;
  }
}
