import { readlinkSync } from "node:fs";
import { messageOf } from "../model/errors.ts";
import type { HeldLock } from "../stores/store.ts";
import { beneath } from "../system/files/open-beneath.ts";
import { asSystemError } from "../system/libc/errno.ts";
import { notedTreePath, removeNotedTree, writeNotedTree } from "../system/processes/noted-tree.ts";
import { readTreeProcess, type TreeProcess } from "../system/processes/process-tree.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { isTracker } from "../system/processes/training-processes.ts";
import type { GuardProcess } from "./guard-process.ts";
import type { RunRequest } from "./run-request.ts";

/**
 * Notes a command's process tree where others look for it when this process is gone: beside the owner record, in the store, with
 * the guard. The record names the command itself, so a file is there only once it has descendants, or has closed the lock.
 */
export class TreeNotes {
  readonly #request: RunRequest;
  readonly #lock: HeldLock;
  readonly #weightsDir: string;
  readonly #guard: GuardProcess | null;
  #command = 0;
  /** The lock's descriptors have the same numbers in the command as here. */
  readonly #lockFiles: readonly (readonly [fd: number, file: string])[];
  #written = false;
  #warned = false;

  constructor(request: RunRequest, lock: HeldLock, weightsDir: string, guard: GuardProcess | null) {
    this.#request = request;
    this.#lock = lock;
    this.#weightsDir = weightsDir;
    this.#guard = guard;
    this.#lockFiles = lock.descriptors.map((fd) => [fd, linkOf(`/proc/self/fd/${fd}`) ?? ""]);
  }

  /** Whether a process has the lock's descriptor. Python's resource tracker ends with what it tracks, and trains nothing. */
  holdsLock(process: TreeProcess): boolean {
    return this.#lockFiles.some(([fd, file]) => linkOf(`/proc/${process.pid}/fd/${fd}`) === file) || isTracker(process);
  }

  begin(command: number): void {
    this.#command = command;
    const found = this.#guard === null ? null : readTreeProcess(command);
    if (found !== null) this.#guard?.tell([found]);
  }

  write(living: readonly TreeProcess[]): void {
    this.#guard?.tell(living);
    this.#lock.recordTree?.(living);
    const isMore = living.some(({ pid }) => pid !== this.#command);
    const allHoldLock = living.every((each) => this.holdsLock(each));
    // Ranks that joined have one weights dir and one token, and so has an inner run: the file beside the record is the owner's.
    if (!this.#request.leads || this.#lock.isInner || !(isMore || !allHoldLock || this.#written)) return;
    const { bootId, pidNamespace } = thisHost();
    if (bootId === null) return;
    try {
      const noted = { token: this.#lock.token, bootId, pidNamespace, processes: living, allHoldLock };
      this.#beneath((folder) => writeNotedTree(folder, noted));
      this.#written = true;
    } catch (error) {
      const why = messageOf(asSystemError("write", notedTreePath(this.#weightsDir), error));
      if (!this.#warned) this.#request.tell.warning(`the process tree could not be noted: ${why}`);
      this.#warned = true;
    }
  }

  #beneath(change: (folder: string) => void): void {
    beneath(this.#request.layout, this.#weightsDir, change);
  }

  remove(): void {
    if (!this.#written) return;
    try {
      this.#beneath(removeNotedTree);
    } catch {
      // Its token shows every reader whose it was.
    }
  }
}

function linkOf(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}
