import { messageOf } from "../model/errors.ts";
import type { HeldLock } from "../stores/store.ts";
import { beneath } from "../system/files/open-beneath.ts";
import { asSystemError } from "../system/libc/errno.ts";
import { notedTreePath, removeNotedTree, writeNotedTree } from "../system/processes/noted-tree.ts";
import { type ProcessIdentity, readTreeProcess } from "../system/processes/process-tree.ts";
import { thisHost } from "../system/processes/this-host.ts";
import type { GuardProcess } from "./guard-process.ts";
import type { RunRequest } from "./run-request.ts";

/**
 * Notes a command's process tree where others look for it when this process is gone: beside the owner record, in the store, with
 * the guard. The record names the command itself, so a file is there only once it has descendants.
 */
export class TreeNotes {
  readonly #request: RunRequest;
  readonly #lock: HeldLock;
  readonly #weightsDir: string;
  readonly #guard: GuardProcess | null;
  #command = 0;
  #written = false;
  #warned = false;

  constructor(request: RunRequest, lock: HeldLock, weightsDir: string, guard: GuardProcess | null) {
    this.#request = request;
    this.#lock = lock;
    this.#weightsDir = weightsDir;
    this.#guard = guard;
  }

  begin(command: number): void {
    this.#command = command;
    const found = this.#guard === null ? null : readTreeProcess(command);
    if (found !== null) this.#guard?.tell([found]);
  }

  write(living: readonly ProcessIdentity[]): void {
    this.#guard?.tell(living);
    this.#lock.recordTree?.(living);
    const isMore = living.some(({ pid }) => pid !== this.#command);
    // Ranks that joined have one weights dir and one token, and so has an inner run: the file beside the record is the owner's.
    if (!this.#request.leads || this.#lock.isInner || !(isMore || this.#written)) return;
    const { bootId, pidNamespace } = thisHost();
    if (bootId === null) return;
    try {
      const noted = { token: this.#lock.token, bootId, pidNamespace, processes: living };
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
