import { mkdirSync, statSync, writeFileSync } from "node:fs";
import type { TestConfiguration } from "./configuration.ts";

export interface ForeignOwner {
  readonly hostname: string;
  readonly pid: number | string;
  readonly bootId?: string;
  readonly startTimeTicks?: number;
  readonly pidNamespace?: number;
  readonly jobId?: string;
  readonly scheduler?: Readonly<Record<string, unknown>>;
}

/** A marker and its record as a `run` on another host leaves them, with whatever values the test wants to be there. */
export function leaveForeignMarker(of: TestConfiguration, owner: ForeignOwner): void {
  mkdirSync(of.weightsDir, { recursive: true });
  writeFileSync(of.marker, `${owner.pid}\n`);
  writeFileSync(of.markerRecord, JSON.stringify(foreignRecord(of, owner, statSync(of.marker).ino)));
}

export function foreignRecord(of: TestConfiguration, owner: ForeignOwner, markerInode: number | null) {
  const { hostname, pid, bootId, startTimeTicks, pidNamespace, jobId, scheduler } = owner;
  return {
    strategy: of.strategy,
    dataset: of.dataset.toLowerCase().replaceAll("-", "_"),
    model: of.model,
    ratio: null,
    aux_loss: null,
    job_id: jobId ?? "unknown",
    hostname,
    pid,
    user: "root",
    acquired_at: "2026-01-12T16:49:29.536651",
    trainlock: {
      format: 1,
      token: "0123456789abcdef0123456789abcdef",
      generation: 1,
      configuration: { strategy: of.strategy, dataset: of.dataset, model: of.model },
      boot_id: bootId ?? "00000000-0000-4000-8000-000000000000",
      machine_id: "0123456789abcdef0123456789abcdef",
      pid_namespace: pidNamespace ?? 4026531836,
      start_time_ticks: startTimeTicks ?? 1,
      scheduler: scheduler ?? null,
      child_pid: null,
      command: ["python", "train.py"],
      weights_dir: of.weightsDir,
      marker_inode: markerInode,
      released_at: null,
      exit_code: null,
    },
  };
}
