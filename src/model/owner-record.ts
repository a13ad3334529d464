import * as v from "valibot";
import type { Configuration } from "./configuration.ts";
import type { DimensionValues } from "./dimensions.ts";
import { normalizeDataset } from "./layout.ts";
import { nameProblem } from "./names.ts";

/** Where a job runs, as its scheduler's environment names it. */
export interface SchedulerJob {
  readonly kind: "lsf" | "slurm" | "pbs" | "sge";
  readonly jobId: string;
  readonly arrayIndex: string | null;
  /** How often the scheduler has requeued it: tells two runs of one job id apart. */
  readonly restartCount: number;
  readonly submittedAt: string | null;
}

/** What trainlock adds to the keys that the older writers use. */
export interface TrainlockSection {
  readonly format: number;
  /** 128 random bits in hex: names one claim, whatever PIDs and inodes do. */
  readonly token: string | null;
  readonly generation: number;
  readonly configuration: Configuration | null;
  readonly bootId: string | null;
  readonly machineId: string | null;
  /** Inode of the PID namespace the owner's PIDs belong to. */
  readonly pidNamespace: number | null;
  /** Field 22 of `/proc/PID/stat`: clock ticks from boot to the owner's start. */
  readonly startTimeTicks: number | null;
  readonly scheduler: SchedulerJob | null;
  readonly childPid: number | null;
  readonly command: readonly string[] | null;
  readonly weightsDir: string | null;
  readonly markerInode: number | null;
  readonly releasedAt: string | null;
  readonly exitCode: number | null;
}

/** Who holds or last held a lock. Every field may be absent: old writers know less, and files lie. */
export interface OwnerRecord {
  readonly strategy: string | null;
  readonly dataset: string | null;
  readonly model: string | null;
  readonly ratio: number | null;
  readonly auxLoss: string | null;
  readonly jobId: string | null;
  readonly hostname: string | null;
  readonly pid: number | null;
  readonly user: string | null;
  readonly acquiredAt: string | null;
  /** Null for the older writers. */
  readonly trainlock: TrainlockSection | null;
}

/** `none`: nothing is written there. `unreadable`: something is, and it says nothing that can be trusted. */
export type RecordReading =
  | { readonly kind: "none" }
  | { readonly kind: "unreadable"; readonly reason: string }
  | { readonly kind: "record"; readonly record: OwnerRecord };

export const recordFormat = 1;
export const largestRecordBytes = 64 * 1024;
/** `PID_MAX_LIMIT` of Linux on 64 bit (proc(5), pid_max): no process has a higher number. */
export const largestPid = 4_194_304;

export function isPid(value: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= largestPid;
}

const text = v.pipe(v.string(), v.minLength(1), v.maxLength(16_384));
const optional = <T>(schema: v.GenericSchema<unknown, T>) => v.fallback(v.nullish(schema, null), null);
/** The bash writer quotes its numbers. */
const numeric = v.union([v.number(), v.pipe(v.string(), v.regex(/^-?\d+(\.\d+)?$/), v.transform(Number))]);
const finite = v.pipe(numeric, v.finite());
const integer = v.pipe(v.number(), v.safeInteger());
const natural = v.pipe(integer, v.minValue(0));
const pid = v.pipe(numeric, v.check(isPid));
/** Job ids may be numbers or names such as `123[4]` and `77.server`; anything else is no job id. */
const jobId = v.pipe(
  v.union([v.string(), v.pipe(v.number(), v.transform(String))]),
  v.regex(/^[A-Za-z0-9][A-Za-z0-9._[\]-]{0,127}$/),
);

/** What becomes part of a path: a record that holds anything else speaks of no configuration of ours. */
const name = v.pipe(
  v.string(),
  v.check((value) => nameProblem(value) === null),
);
const dimensionName = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9_]{0,63}$/));

const configurationSchema = v.object({
  strategy: name,
  dataset: name,
  model: name,
  ratio: optional(v.pipe(finite, v.minValue(0), v.maxValue(1))),
  aux_loss: optional(name),
  stage: optional(v.union([natural, name])),
  /** Absent in records of sites without dimensions, and of versions before them. */
  dimensions: v.fallback(v.record(dimensionName, v.union([v.pipe(v.number(), v.finite(), v.minValue(0)), name])), {}),
});

const schedulerSchema = v.object({
  kind: v.picklist(["lsf", "slurm", "pbs", "sge"]),
  job_id: jobId,
  array_index: optional(v.pipe(v.string(), v.regex(/^\d{1,9}$/))),
  restart_count: v.fallback(natural, 0),
  submitted_at: optional(text),
});

const sectionSchema = v.object({
  format: v.pipe(integer, v.minValue(1)),
  token: optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/))),
  generation: v.fallback(natural, 0),
  configuration: optional(configurationSchema),
  boot_id: optional(v.pipe(v.string(), v.regex(/^[0-9a-f-]{36}$/))),
  machine_id: optional(v.pipe(v.string(), v.regex(/^[0-9a-f]{16,64}$/))),
  pid_namespace: optional(natural),
  start_time_ticks: optional(natural),
  scheduler: optional(schedulerSchema),
  child_pid: optional(pid),
  command: optional(v.array(v.string())),
  weights_dir: optional(text),
  marker_inode: optional(natural),
  released_at: optional(text),
  exit_code: optional(integer),
});

const recordSchema = v.object({
  strategy: optional(text),
  dataset: optional(text),
  model: optional(text),
  ratio: optional(finite),
  aux_loss: optional(text),
  job_id: optional(jobId),
  hostname: optional(text),
  pid: optional(pid),
  user: optional(text),
  acquired_at: optional(text),
  /** What the bash writer calls acquired_at. */
  started: optional(text),
  trainlock: optional(sectionSchema),
});

function sectionFrom(raw: v.InferOutput<typeof sectionSchema>): TrainlockSection {
  const configuration = raw.configuration;
  const scheduler = raw.scheduler;
  return {
    format: raw.format,
    token: raw.token,
    generation: raw.generation,
    configuration: configuration && {
      strategy: configuration.strategy,
      dataset: configuration.dataset,
      model: configuration.model,
      ratio: configuration.ratio,
      auxLoss: configuration.aux_loss,
      stage: configuration.stage,
      dimensions: configuration.dimensions,
    },
    bootId: raw.boot_id,
    machineId: raw.machine_id,
    pidNamespace: raw.pid_namespace,
    startTimeTicks: raw.start_time_ticks,
    scheduler: scheduler && {
      kind: scheduler.kind,
      jobId: scheduler.job_id,
      arrayIndex: scheduler.array_index,
      restartCount: scheduler.restart_count,
      submittedAt: scheduler.submitted_at,
    },
    childPid: raw.child_pid,
    command: raw.command,
    weightsDir: raw.weights_dir,
    markerInode: raw.marker_inode,
    releasedAt: raw.released_at,
    exitCode: raw.exit_code,
  };
}

/** Reads what a lock file or marker record holds. Never throws, whatever the bytes are. */
export function parseOwnerRecord(bytes: Uint8Array): RecordReading {
  if (bytes.length > largestRecordBytes) return { kind: "unreadable", reason: `more than ${largestRecordBytes} bytes` };
  const json = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8");
  if (json.trim() === "") return { kind: "none" };
  let parsed: unknown;
  try {
    parsed = JSON.parse(json);
  } catch {
    return { kind: "unreadable", reason: "not JSON" };
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    return { kind: "unreadable", reason: "JSON, but no owner record" };
  }
  const result = v.safeParse(recordSchema, parsed);
  if (!result.success) return { kind: "unreadable", reason: "JSON, but no owner record" };
  const raw = result.output;
  if ("trainlock" in parsed && raw.trainlock === null) {
    return { kind: "unreadable", reason: "its trainlock section is not readable" };
  }
  if (raw.trainlock !== null && raw.trainlock.format > recordFormat) {
    return { kind: "unreadable", reason: `written by a newer trainlock (format ${raw.trainlock.format})` };
  }
  return {
    kind: "record",
    record: {
      strategy: raw.strategy,
      dataset: raw.dataset,
      model: raw.model,
      ratio: raw.ratio,
      auxLoss: raw.aux_loss,
      jobId: raw.job_id === "unknown" ? null : raw.job_id,
      hostname: raw.hostname,
      pid: raw.pid,
      user: raw.user,
      acquiredAt: raw.acquired_at ?? raw.started,
      trainlock: raw.trainlock && sectionFrom(raw.trainlock),
    },
  };
}

/** The JSON of a record: the older writers' keys first, so that their readers keep working, two spaces, newline. */
export function serializeOwnerRecord(record: OwnerRecord): Buffer {
  const section = record.trainlock;
  const json = {
    strategy: record.strategy,
    dataset: record.dataset,
    model: record.model,
    ratio: record.ratio,
    aux_loss: record.auxLoss,
    job_id: record.jobId ?? "unknown",
    hostname: record.hostname,
    pid: record.pid,
    user: record.user,
    acquired_at: record.acquiredAt,
    ...(section === null ? {} : { trainlock: sectionJson(section) }),
  };
  return Buffer.from(`${JSON.stringify(json, null, 2)}\n`);
}

function sectionJson(section: TrainlockSection) {
  const { configuration, scheduler } = section;
  return {
    format: section.format,
    token: section.token,
    generation: section.generation,
    configuration: configuration && {
      strategy: configuration.strategy,
      dataset: configuration.dataset,
      model: configuration.model,
      ratio: configuration.ratio,
      aux_loss: configuration.auxLoss,
      stage: configuration.stage,
      ...(Object.keys(configuration.dimensions).length === 0 ? {} : { dimensions: configuration.dimensions }),
    },
    boot_id: section.bootId,
    machine_id: section.machineId,
    pid_namespace: section.pidNamespace,
    start_time_ticks: section.startTimeTicks,
    scheduler: scheduler && {
      kind: scheduler.kind,
      job_id: scheduler.jobId,
      array_index: scheduler.arrayIndex,
      restart_count: scheduler.restartCount,
      submitted_at: scheduler.submittedAt,
    },
    child_pid: section.childPid,
    command: section.command && boundedCommand(section.command),
    weights_dir: section.weightsDir,
    marker_inode: section.markerInode,
    released_at: section.releasedAt,
    exit_code: section.exitCode,
  };
}

/** A command line may be megabytes; a record that its own reader would refuse is worse than a shortened one. */
function boundedCommand(command: readonly string[]): readonly string[] {
  const longest = 8 * 1024;
  let left = longest;
  const kept: string[] = [];
  for (const argument of command) {
    if (left < argument.length + 8) return [...kept, "…"];
    kept.push(argument);
    left -= argument.length + 8;
  }
  return kept;
}

/**
 * Whether a record speaks of another configuration than `mine`. Old writers record less than a configuration (no stage, the
 * dataset normalized), so only what both sides know can differ.
 */
export function belongsToAnother(record: OwnerRecord, mine: Configuration): boolean {
  const exact = record.trainlock?.configuration ?? null;
  const theirs = exact ?? record;
  const sameDataset = exact === null ? normalizeDataset : (dataset: string) => dataset.toLowerCase();
  const differs = (a: unknown, b: unknown) => a !== null && a !== b;
  return (
    differs(theirs.strategy, mine.strategy) ||
    differs(theirs.model, mine.model) ||
    differs(theirs.ratio, mine.ratio) ||
    differs(theirs.auxLoss, mine.auxLoss) ||
    (exact !== null && !sameDimensions(exact.dimensions, mine.dimensions)) ||
    (theirs.dataset !== null && sameDataset(theirs.dataset) !== sameDataset(mine.dataset))
  );
}

function sameDimensions(a: DimensionValues, b: DimensionValues): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every((name) => a[name] === b[name]);
}

/** The configuration a record speaks of, as far as it says. Names that are none make no configuration: paths come of it. */
export function configurationOf(record: OwnerRecord): Configuration | null {
  if (record.trainlock?.configuration) return record.trainlock.configuration;
  const { strategy, dataset, model, ratio, auxLoss } = record;
  if (strategy === null || dataset === null || model === null) return null;
  const names = auxLoss === null ? [strategy, dataset, model] : [strategy, dataset, model, auxLoss];
  if (names.some((value) => nameProblem(value) !== null)) return null;
  if (ratio !== null && !(ratio >= 0 && ratio <= 1)) return null;
  return { strategy, dataset, model, ratio, auxLoss, stage: null, dimensions: {} };
}
