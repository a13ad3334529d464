import { messageOf } from "../model/errors.ts";
import { recordedCommand } from "../stores/claim-record.ts";
import type { HeldLock } from "../stores/store.ts";
import { beneath } from "../system/files/open-beneath.ts";
import { asSystemError } from "../system/libc/errno.ts";
import { writeDoneFile } from "./done-file.ts";
import { findCheckpoint } from "./find-done.ts";
import { type FolderMark, hasChangedSince, markFolder } from "./folder-changes.ts";
import type { RunRequest } from "./run-request.ts";
import { whatIsMissing } from "./what-is-missing.ts";

/**
 * After a command has ended with 0: says what the rule in force lacks, or writes its done file. An old script that finds itself
 * locked out ends with 0, too.
 */
export class DoneNote {
  readonly #request: RunRequest;
  readonly #lock: HeldLock;
  readonly #weightsDir: string;
  readonly #startedAt: number;
  /** Null: no change is asked for. */
  readonly #mark: FolderMark | null;

  /**
   * Made before the command is started, whose output goes to these descriptors. Throws an EnvironmentError where the weights dir
   * cannot be looked into.
   */
  constructor(
    request: RunRequest,
    lock: HeldLock,
    weightsDir: string,
    { startedAt, outputs }: { readonly startedAt: number; readonly outputs: readonly number[] },
  ) {
    this.#request = request;
    this.#lock = lock;
    this.#weightsDir = weightsDir;
    this.#startedAt = startedAt;
    const { leads, done } = request;
    this.#mark = leads && done.file !== null && done.patterns.length === 0 ? marked(weightsDir, outputs) : null;
  }

  /** `stopSignal`: passed on to the command while it ran. */
  async write(stopSignal: NodeJS.Signals | null): Promise<void> {
    const { layout, argv, configuration, done, leads, tell } = this.#request;
    if (!leads || this.#lock.lost.aborted) return;
    if (done.file === null) return await this.#sayWhatIsMissing(stopSignal);
    try {
      const missing = await this.#whatIsMissing(stopSignal);
      if (missing !== null) {
        tell.warning(`${missing}; ${done.file} is not written`);
        return;
      }
      const content = {
        configuration,
        generation: this.#lock.generation,
        command: recordedCommand(layout.site, argv) ?? [],
        when: done.patterns,
        startedAt: this.#startedAt,
        endedAt: Date.now(),
      };
      const name = done.file;
      beneath(layout, this.#weightsDir, (folder) => writeDoneFile(folder, name, content));
    } catch (error) {
      tell.warning(`${done.file} could not be written: ${messageOf(error)}`);
    }
  }

  /** A worker says it by itself, and after a signal nobody expects a checkpoint. */
  async #sayWhatIsMissing(stopSignal: NodeJS.Signals | null): Promise<void> {
    const { layout, configuration, done, settledBy, tell } = this.#request;
    if (done.patterns.length === 0 || settledBy !== undefined || stopSignal !== null) return;
    try {
      const found = await findCheckpoint(layout, configuration, done);
      if (found.kind === "done") return;
      tell.warning("the command ended with 0 without its checkpoint: it counts as failed");
      tell.warning(found.kind === "another's" ? messageOf(found.error) : await whatIsMissing(this.#weightsDir, done));
    } catch (error) {
      tell.warning(`whether it is done cannot be looked at: ${messageOf(error)}`);
    }
  }

  /** Why exit code 0 is not enough, in words; null: it is. */
  async #whatIsMissing(stopSignal: NodeJS.Signals | null): Promise<string | null> {
    const { layout, configuration, done } = this.#request;
    if (done.patterns.length > 0) {
      const found = await findCheckpoint(layout, configuration, done);
      if (found.kind === "done") return null;
      if (found.kind === "another's") return messageOf(found.error);
      return `the command ended with 0 without its checkpoint (${await whatIsMissing(this.#weightsDir, done)})`;
    }
    const way = "name its checkpoint by `when:` or --done-when";
    if (stopSignal !== null) return `the command ended with 0 after ${stopSignal}: ${way}`;
    if (this.#mark !== null && hasChangedSince(this.#weightsDir, this.#mark)) return null;
    return `the command ended with 0 and changed nothing in ${this.#weightsDir}: ${way}`;
  }
}

function marked(weightsDir: string, outputs: readonly number[]): FolderMark {
  try {
    return markFolder(weightsDir, outputs);
  } catch (error) {
    throw asSystemError("look into", weightsDir, error);
  }
}
