import { LockLostError } from "../../model/errors.ts";
import { systemError } from "../../system/libc/errno.ts";
import { generationOf } from "../claim-record.ts";
import type { KernelLock } from "./kernel-lock.ts";
import { readLockRecord } from "./lock-file.ts";

/** A contender that judges our marker meanwhile has the lock for this long: what it asks other hosts has a deadline of 10 s. */
const contenderMs = 15_000;

/** What a claim knows of its lock's surroundings. */
export interface LockPlace {
  readonly generation: number;
  /** Writes down which lock file is the claim's, into that file. */
  readonly remember: (inode: bigint) => void;
  readonly markerIsAnothers: () => boolean;
}

/** The kernel lock of a claim: taken again where its file was unlinked, and known again where its folder was away. */
export class KeptLock {
  readonly #place: LockPlace;
  /**
   * Lock files that were unlinked, or away, when this claim locked another. They stay locked: a Python waiter polls on its
   * descriptor, and must not win a lock that nobody else sees.
   */
  readonly #orphans: KernelLock[] = [];
  #current: KernelLock;
  /** Since when somebody else has had a lock file of this name locked, by the monotonic clock; null: nobody has. */
  #contendedSinceMs: number | null = null;

  constructor(lock: KernelLock, place: LockPlace) {
    this.#current = lock;
    this.#place = place;
  }

  get current(): KernelLock {
    return this.#current;
  }

  /** With the orphans. */
  get all(): readonly KernelLock[] {
    return [this.#current, ...this.#orphans];
  }

  /**
   * A lock file unlinked under us is made and locked again at once, before anybody else takes the name for free. Resolves with why
   * the lock is lost, or with null. Throws where that cannot be told.
   */
  async keep(): Promise<LockLostError | null> {
    if (this.#isInPlace()) return null;
    const { path } = this.#current;
    // Throws where the folder is away, too: a holder never makes that one again, and it may come back as it was.
    const again = await this.#current.lockAgain();
    if (again === "busy") {
      // What came back in between is busy because it is ours.
      if (this.#isInPlace()) return null;
      if (this.#mayBeContenders()) {
        throw systemError("lock", path, "EAGAIN", undefined, "another process has it, and may look at our marker only");
      }
      return new LockLostError(`${path} was removed, and somebody else has locked a new one`);
    }
    // A number that cannot be read may be a later one.
    if ((generationOf(again.previous) ?? Number.POSITIVE_INFINITY) > this.#place.generation) {
      again.release();
      return new LockLostError(`${path} was removed, and another claim has been made since`);
    }
    this.#succeed(again);
    return null;
  }

  #isInPlace(): boolean {
    if (!this.#current.isInPlace() && !this.#isBack()) return false;
    this.#contendedSinceMs = null;
    return true;
  }

  /** A folder that was away has come back, with the lock file that was locked in it before and is locked still. */
  #isBack(): boolean {
    const at = this.#orphans.findIndex((lock) => lock.isInPlace());
    const [back] = at < 0 ? [] : this.#orphans.splice(at, 1);
    if (back !== undefined) this.#succeed(back);
    return back !== undefined;
  }

  #succeed(lock: KernelLock): void {
    this.#orphans.push(this.#current);
    this.#current = lock;
    this.#contendedSinceMs = null;
    this.#place.remember(lock.inode);
  }

  /**
   * Whether a new lock file, which somebody else has locked, may be a contender's. While our lock dir is away, a contender makes
   * another. It finds our marker in the weights dir, and gives up. The older writers do not look at markers: their record says
   * that the lock is theirs.
   */
  #mayBeContenders(): boolean {
    const now = performance.now();
    this.#contendedSinceMs ??= now;
    const found = readLockRecord(this.#current.path);
    const isOldWriters = found.kind === "record" && found.record.trainlock === null;
    return !isOldWriters && !this.#place.markerIsAnothers() && now - this.#contendedSinceMs < contenderMs;
  }
}
