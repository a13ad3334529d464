import * as v from "valibot";
import { nameProblem } from "./names.ts";
import { isPid, largestRecordBytes, type RecordReading, recordFormat, type TrainlockSection } from "./owner-record.ts";

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

/** A text where it is too large for a number of JSON to hold exactly. */
const inode = v.pipe(
  v.union([natural, v.pipe(v.string(), v.regex(/^\d{1,20}$/))]),
  v.transform((value) => BigInt(value)),
);

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
  array_job_id: optional(jobId),
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
  child_start_time_ticks: optional(natural),
  command: optional(v.array(v.string())),
  weights_dir: optional(text),
  marker_inode: optional(inode),
  lock_inode: optional(inode),
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
      ...(scheduler.array_job_id === null ? {} : { arrayJobId: scheduler.array_job_id }),
      restartCount: scheduler.restart_count,
      submittedAt: scheduler.submitted_at,
    },
    childPid: raw.child_pid,
    childStartTimeTicks: raw.child_start_time_ticks,
    command: raw.command,
    weightsDir: raw.weights_dir,
    markerInode: raw.marker_inode,
    lockInode: raw.lock_inode,
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
