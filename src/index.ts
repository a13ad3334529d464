export {
  type ClearedLocks,
  type ClearOptions,
  clearStaleFileLocks,
  clearStaleLocks,
  isPidRunning,
  type ListOptions,
  listActiveLocks,
  listAllLocks,
  listWeightsDirLocks,
  preflightCheck,
} from "./library/lists.ts";
export type { TrainingOptions } from "./library/spawn.ts";
export { type AcquireOptions, TrainingLock, type TrainingLockOptions } from "./library/training-lock.ts";
export type { LockJson } from "./listing/lock-json.ts";
export { EnvironmentError, LockLostError, TrainlockError, UsageError } from "./model/errors.ts";
export type { Holder } from "./model/holder.ts";
