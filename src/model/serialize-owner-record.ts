import type { OwnerRecord, TrainlockSection } from "./owner-record.ts";

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
      ...(scheduler.arrayJobId === undefined ? {} : { array_job_id: scheduler.arrayJobId }),
      restart_count: scheduler.restartCount,
      submitted_at: scheduler.submittedAt,
    },
    child_pid: section.childPid,
    child_start_time_ticks: section.childStartTimeTicks,
    command: section.command && boundedCommand(section.command),
    weights_dir: section.weightsDir,
    marker_inode: inodeJson(section.markerInode),
    lock_inode: inodeJson(section.lockInode),
    released_at: section.releasedAt,
    exit_code: section.exitCode,
  };
}

/** As a text where a number of JSON would not hold it exactly. */
function inodeJson(inode: bigint | null): number | string | null {
  if (inode === null) return null;
  return inode <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(inode) : String(inode);
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
