import { lstatSync } from "node:fs";
import { LockLostError, messageOf } from "../../model/errors.ts";
import { inodeNumber } from "../../model/inode.ts";
import type { OwnerRecord, RecordReading } from "../../model/owner-record.ts";
import type { RunEnds } from "../../model/run-ends.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import { markerPath, markerRecordPath } from "../../site/layout.ts";
import { beneath } from "../../system/files/open-beneath.ts";
import { type Bounds, isOutsideRoot } from "../../system/files/outside-root.ts";
import { errnoOf, systemError } from "../../system/libc/errno.ts";
import { asReleased, withChild, withMarker, withSection } from "../claim-record.ts";
import type { ClaimOutcome, EarlierRuns, HeldLock } from "../store.ts";
import { CheckSchedule } from "./check-schedule.ts";
import { excludesAllHosts } from "./claim-lock.ts";
import { KeptLock } from "./kept-lock.ts";
import { KeptMarker } from "./kept-marker.ts";
import type { KernelLock } from "./kernel-lock.ts";
import type { MarkerFile, PlacedMarker } from "./marker.ts";
import { readMarkerRecord } from "./read-marker.ts";
import { writeMarkerRecord } from "./temporary-file.ts";

/** What a claim has taken. */
export interface TakenClaim {
  readonly kernel: KernelLock;
  readonly marker: PlacedMarker;
  readonly bounds: Bounds;
  readonly weightsDir: string;
  readonly record: OwnerRecord;
  readonly earlier: EarlierRuns;
}

/** A claim of the folder's store: looks after kernel lock, marker and records, reports a loss, and releases all of it. */
export class HeldClaim implements HeldLock {
  readonly token: string;
  readonly generation: number;
  readonly address: string;
  readonly descriptors: readonly number[];
  readonly earlier: EarlierRuns;
  readonly #bounds: Bounds;
  readonly #weightsDir: string;
  readonly #excludesAll: boolean;
  readonly #lost = new AbortController();
  readonly #checks: CheckSchedule;
  readonly #lock: KeptLock;
  readonly #marker: KeptMarker;
  #record: OwnerRecord;
  #released = false;
  /** Which file the record beside the marker is, as this claim has written it. */
  #recordFile: string | null = null;
  /** Checks, changes of the record and the release come one after another: each changes the same two files. */
  #turn: Promise<void> = Promise.resolve();

  constructor({ kernel, marker, bounds, weightsDir, record, earlier }: TakenClaim, checkEveryMs: number) {
    this.token = record.trainlock?.token ?? "";
    this.generation = record.trainlock?.generation ?? 0;
    this.address = kernel.path;
    this.descriptors = kernel.descriptors;
    this.earlier = earlier;
    this.#bounds = bounds;
    this.#weightsDir = weightsDir;
    this.#excludesAll = excludesAllHosts(kernel);
    this.#record = record;
    this.#lock = new KeptLock(kernel, {
      generation: this.generation,
      remember: (inode) => this.#rememberLock(inode),
      markerIsAnothers: () => this.#marker.isAnothers(),
    });
    this.#marker = new KeptMarker(marker, {
      weightsDir,
      beneath: (change) => this.#beneath(change),
      pid: () => this.#pid(),
      remember: (own) => this.#rememberMarker(own),
      besideCopy: () => this.#besideCopy(),
    });
    this.#checks = new CheckSchedule(() => this.#inTurn(() => this.#check()), checkEveryMs, [kernel.path, marker.path]);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  recordChild(pid: number, ends?: RunEnds): Promise<void> {
    return this.#inTurn(async () => {
      // The record beside the marker follows at the first check: a rename costs a short command more than its run.
      this.#record = withChild(this.#record, pid, ends);
      this.#lock.current.write(serializeOwnerRecord(this.#record));
    });
  }

  async check(): Promise<void> {
    await this.#inTurn(() => this.#check());
  }

  assertHeld(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#released) throw new LockLostError("the lock has been released");
      if (!this.lost.aborted) {
        await this.#look().catch((error: unknown) => {
          throw errnoOf(error) === undefined ? error : cannotTell(error);
        });
      }
      this.lost.throwIfAborted();
    });
  }

  release(outcome?: ClaimOutcome): Promise<void> {
    return this.#inTurn(async () => this.#release(outcome));
  }

  get handedOver(): readonly number[] {
    return this.#lock.all.flatMap(({ descriptors }) => descriptors);
  }

  handOver(): Promise<void> {
    return this.#inTurn(async () => this.#release(undefined, true));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.then(
      () => undefined,
      () => undefined,
    );
    return mine;
  }

  /** Resolves with false where something is missing that comes back by itself, so that it has to be looked at again soon. */
  async #check(): Promise<boolean> {
    if (this.#released || this.lost.aborted) return true;
    try {
      await this.#look();
      return true;
    } catch (error) {
      // A file system that does not answer, or is away, proves no loss.
      if (errnoOf(error) === undefined) throw error;
      return false;
    }
  }

  async #look(): Promise<void> {
    if (!(await this.#keepKernelLock())) return;
    await this.#keepMarker();
    if (!this.lost.aborted) this.#keepRecords();
  }

  #lose(loss: LockLostError): void {
    this.#checks.stop();
    this.#lost.abort(loss);
  }

  async #keepKernelLock(): Promise<boolean> {
    const loss = await this.#lock.keep();
    if (loss !== null) this.#lose(loss);
    return loss === null;
  }

  /** A command has inherited the first file: that another one is free would prove nothing about it. */
  #rememberLock(inode: bigint): void {
    if (this.#record.trainlock?.childPid === null)
      this.#record = withSection(this.#record, { lockInode: inodeNumber(inode) });
    this.#lock.current.write(serializeOwnerRecord(this.#record));
  }

  async #keepMarker(): Promise<void> {
    if (!(await this.#marker.keep())) this.#lose(new LockLostError(`${this.#marker.path} is another's`));
  }

  #rememberMarker(own: MarkerFile): void {
    this.#record = withMarker(this.#record, own);
    this.#lock.current.write(serializeOwnerRecord(this.#record));
  }

  #pid(): number {
    return this.#record.pid ?? process.pid;
  }

  #keepRecords(): void {
    this.#marker.keepTime(this.#record.trainlock?.markerTimeNs ?? null);
    const record = serializeOwnerRecord(this.#record);
    if (!this.#isComplete(this.#lock.current.read())) this.#lock.current.write(record);
    if (this.#isComplete(readMarkerRecord(this.#weightsDir).reading)) {
      this.#recordFile ??= this.#fileBeside();
      return;
    }
    this.#beneath((folder) => writeMarkerRecord(folder, record));
    this.#recordFile = this.#fileBeside();
  }

  /** A removed file's inode number is given to the next one: when it was made tells them apart. */
  #fileBeside(): string | null {
    const found = lstatSync(markerRecordPath(this.#weightsDir), { bigint: true, throwIfNoEntry: false });
    return found === undefined ? null : `${found.ino} ${found.birthtimeNs}`;
  }

  /** A folder that was copied has a copy of our record, another file than ours. */
  #besideCopy(): boolean {
    const isOtherFile = this.#recordFile !== null && this.#fileBeside() !== this.#recordFile;
    return isOtherFile && this.#isOurs(readMarkerRecord(this.#weightsDir).reading);
  }

  #isOurs(reading: RecordReading): boolean {
    return reading.kind === "record" && reading.record.trainlock?.token === this.token;
  }

  #isComplete(reading: RecordReading): boolean {
    const found = reading.kind === "record" ? reading.record.trainlock : null;
    const own = this.#record.trainlock;
    const kept = ["generation", "markerInode", "markerTimeNs", "lockInode", "childPid"] as const;
    return this.#isOurs(reading) && kept.every((key) => found?.[key] === own?.[key]);
  }

  /**
   * Releases the record first: if a crash comes before the marker is removed, the marker is known to be released. If others
   * may take over such a marker before we remove it, the record must not describe it any more. Once the marker is removed,
   * the record may belong to a successor. `handsOver`: another process has the kernel lock after us. The marker stays for it,
   * unless somebody else could take that over.
   */
  #release(outcome?: ClaimOutcome, handsOver = false): void {
    if (this.#released) return;
    this.#released = true;
    this.#checks.stop();
    this.#record = asReleased(this.#record, outcome);
    const closing = serializeOwnerRecord(this.#record);
    const withoutMarker = serializeOwnerRecord(withSection(this.#record, { markerInode: null }));
    attempt(() => this.#writeBeside(this.#excludesAll ? closing : withoutMarker));
    let isGone = handsOver && this.#excludesAll;
    if (!isGone) {
      attempt(() => {
        isGone = this.#removeMarker();
      });
    }
    if (!isGone && !this.#excludesAll) attempt(() => this.#writeBeside(closing));
    attempt(() => this.#marker.closeAway());
    attempt(() => this.#lock.current.write(closing));
    for (const held of this.#lock.all) attempt(() => (handsOver ? held.leave() : held.release()));
  }

  #writeBeside(record: Buffer): void {
    this.#beneath((folder) => {
      if (this.#isOurs(readMarkerRecord(folder).reading)) writeMarkerRecord(folder, record);
    });
  }

  #removeMarker(): boolean {
    let isClosed = false;
    try {
      if (this.#marker.where() === "gone") return true;
      return this.#beneath((folder) => {
        isClosed = true;
        return this.#marker.removeIn(markerPath(folder));
      });
    } finally {
      if (!isClosed) attempt(() => this.#marker.close());
    }
  }

  /**
   * Changes files in the weights dir, which is held open for that: a folder on the way that is swapped for a link meanwhile
   * leads nowhere, and one that was swapped before is away.
   */
  #beneath<T>(change: (folder: string) => T): T {
    try {
      return beneath(this.#bounds, this.#weightsDir, change);
    } catch (error) {
      throw isOutsideRoot(error) ? systemError("use the folder", this.#weightsDir, "ELOOP") : error;
    }
  }
}

function cannotTell(error: unknown): LockLostError {
  return new LockLostError(`it is not known whether the lock is held: ${messageOf(error)}`);
}

/** A release must not stop half way: a full disk keeps a record from being written, not a lock from being freed. */
function attempt(step: () => void): void {
  try {
    step();
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
  }
}
