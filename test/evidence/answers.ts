import type { HostReply } from "../../src/evidence/remote/ask-host.ts";
import type { HostAnswer } from "../../src/evidence/remote/host-answer.ts";
import type { RecordedJob } from "../../src/evidence/schedulers/job-evidence.ts";
import type { ListedJob } from "../../src/evidence/schedulers/listed-job.ts";
import { hostName } from "../support/host-name.ts";

/** What a host says that has found nothing and names nothing about itself. */
export const foundNothing: HostAnswer = {
  bootId: null,
  bootedAtMs: null,
  hostname: null,
  machineId: null,
  pidNamespace: null,
  seesAll: true,
  uid: 0,
  processes: new Map(),
  hidden: new Set(),
  takingSignals: new Set(),
  clockMovedSeconds: 0,
  nested: new Map(),
  namespaces: null,
  own: new Set(),
  commands: new Map(),
  carriers: new Map(),
  opened: [],
  users: new Map(),
  locks: new Map(),
};

export const silent: HostReply = { kind: "silent", why: "does not answer (timed out)" };

/** What a record that says little names of its job. */
export function recordedJob(change: Partial<RecordedJob> & Pick<RecordedJob, "id">): RecordedJob {
  const unsaid = { cluster: null, startedAt: null, isOfOneHost: false, lockedAt: null, user: null, host: null };
  return { arrayIndex: null, restartCount: 0, ...unsaid, ...change };
}

/** Alice's job 7, which runs on node01. */
export function listedJob(change: Partial<ListedJob> = {}): ListedJob {
  return {
    id: "7",
    arrayIndex: null,
    state: "RUNNING",
    means: "alive",
    waits: false,
    uid: 1000,
    user: "alice",
    hosts: [hostName("node01")],
    submittedAt: null,
    startedAt: null,
    endedAt: null,
    restartCount: 0,
    ...change,
  };
}
