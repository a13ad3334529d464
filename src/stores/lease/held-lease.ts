import type { EtcdClient } from "../../etcd/client.ts";
import { LockLostError } from "../../model/errors.ts";
import type { OwnerRecord } from "../../model/owner-record.ts";
import type { RunEnds } from "../../model/run-ends.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import { bootMs } from "../../system/clock/boot-time.ts";
import type { ProcessIdentity } from "../../system/processes/process-tree.ts";
import { asReleased, withChild, withSection } from "../claim-record.ts";
import type { ClaimOutcome, EarlierRuns, HeldLock } from "../store.ts";
import type { EndsNote } from "./ends-note.ts";
import type { ClaimEvents, LeaseClaims } from "./lease-session.ts";
import { statusOfLease } from "./lease-status.ts";

export interface LeasedClaim {
  readonly token: string;
  /** Null: another process of ours has made the claim, and releases it. */
  readonly record: OwnerRecord | null;
  readonly earlier: EarlierRuns;
  /** Where the ends of runs are kept; null: nobody counts them. */
  readonly endsNote: EndsNote | null;
  /** The lock's key. */
  readonly key: string;
  /** The key with its store. */
  readonly address: string;
  readonly client: EtcdClient;
  readonly session: LeaseClaims;
  /** For what its user should know: claimed again, not released. */
  readonly onNote: (text: string) => void;
}

/**
 * A claim whose keeper looks after it: passes on what the keeper reports, and asks the store itself where it matters. Made before
 * the claim is, because its events begin with the claim; held from {@link begin} on.
 */
export class HeldLease implements HeldLock {
  readonly token: string;
  readonly address: string;
  readonly descriptors: readonly number[] = [];
  readonly earlier: EarlierRuns;
  readonly events: ClaimEvents = {
    reclaimed: (revision) => {
      const key = this.#claim.key;
      this.#claim.onNote(
        `its key ${key} was gone, nobody had claimed it since, and it is claimed again: generation ${revision}`,
      );
      this.#revision = revision;
    },
    lost: (why, stopByMs) => {
      if (this.#released) return;
      this.#lost.abort(new LockLostError(why, { stopWithinMs: Math.max(0, stopByMs - bootMs()) }));
    },
  };
  readonly #claim: LeasedClaim;
  readonly #lost = new AbortController();
  #revision = 0;
  #released = false;
  #record: OwnerRecord | null;

  constructor(claim: LeasedClaim) {
    this.#claim = claim;
    this.#record = claim.record;
    this.token = claim.token;
    this.address = claim.address;
    this.earlier = claim.earlier;
  }

  /** The claim is made, with this revision. */
  begin(revision: number): this {
    this.#revision = revision;
    return this;
  }

  get generation(): number {
    return this.#revision;
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  async recordChild(pid: number, ends?: RunEnds): Promise<void> {
    const { record, session, endsNote } = this.#claim;
    if (record === null) return session.guard(this.token, pid, null);
    this.#record = this.#ofNow(withChild(record, pid, ends));
    const value = serializeOwnerRecord(this.#record);
    session.guard(this.token, pid, value);
    // Not waited for: it says that there is a run to count if this process is killed.
    endsNote?.write(value, { token: this.token, revision: this.#revision });
  }

  /** The record was made before there was a revision. */
  #ofNow(record: OwnerRecord): OwnerRecord {
    return withSection(record, { generation: this.#revision });
  }

  recordTree(processes: readonly ProcessIdentity[]): void {
    this.#claim.session.noteTree(this.token, processes);
  }

  async check(): Promise<void> {
    if (!this.#released && !this.lost.aborted) await this.#claim.session.renew();
  }

  catchUp(): Promise<void> {
    return this.#claim.session.catchUp();
  }

  async assertHeld(): Promise<void> {
    if (this.#released) throw new LockLostError("the lock has been released");
    this.lost.throwIfAborted();
    const { client, key } = this.#claim;
    const status = await statusOfLease(client, { key, token: this.token, generation: null, configuration: null });
    this.lost.throwIfAborted();
    if (status.held !== true) throw new LockLostError(`whether the lock is held: ${status.why}`);
  }

  async release(outcome?: ClaimOutcome): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    const { session, onNote, endsNote } = this.#claim;
    const record = this.#record;
    if (record === null) return session.leave(this.token);
    // A claim that was lost is counted by whoever has made the next one.
    if (endsNote !== null && outcome?.ends !== undefined && !this.lost.aborted) {
      const ended = serializeOwnerRecord(asReleased(this.#ofNow(record), outcome));
      endsNote.write(ended, { token: this.token, revision: this.#revision });
      await endsNote.settled();
    }
    const { fault, left } = await session.remove(this.token, this.lost.aborted);
    if (fault !== null) onNote(`the lock could not be released, and ends with its lease: ${fault}`);
    if (left.length > 0)
      onNote(`processes of the command go on (${left.join(", ")}): the lock is kept until they have ended`);
  }
}
