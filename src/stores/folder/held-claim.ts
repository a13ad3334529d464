import { lstatSync } from "node:fs";
import { LockLostError, messageOf } from "../../model/errors.ts";
import { inodeNumber } from "../../model/inode.ts";
import type { OwnerRecord, RecordReading } from "../../model/owner-record.ts";
import type { RunEnds } from "../../model/run-ends.ts";
import { serializeOwnerRecord } from "../../model/serialize-owner-record.ts";
import { markerPath, markerRecordPath } from "../../site/layout.ts";
import { sleep } from "../../system/clock/sleep.ts";
import { beneath } from "../../system/files/open-beneath.ts";
import { type Bounds, isOutsideRoot } from "../../system/files/outside-root.ts";
import { errnoOf, systemError } from "../../system/libc/errno.ts";
import { asReleased, generationOf, withChild, withSection } from "../claim-record.ts";
import type { ClaimOutcome, EarlierRuns, HeldLock } from "../store.ts";
import { CheckSchedule } from "./check-schedule.ts";
import { excludesAllHosts } from "./claim-lock.ts";
import type { KernelLock } from "./kernel-lock.ts";
import { type PlacedMarker, placeMarker } from "./marker.ts";
import { replaceUnderKernelLock } from "./marker-takeover.ts";
import { readMarker, readMarkerRecord } from "./read-marker.ts";
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

/** How long a marker may lie there before the record that is copied with it. */
const copyMs = 300;
/** Folders come and go a few times at most; each that is away costs a descriptor. */
const mostAway = 4;

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
  /** Lock files that were unlinked under this claim. They stay locked: see `#keepKernelLock`. */
  readonly #orphans: KernelLock[] = [];
  /** Markers that were away when this claim placed another. They stay open, so that each is known by its inode. */
  readonly #away: PlacedMarker[] = [];
  #kernel: KernelLock;
  #marker: PlacedMarker;
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
    this.#kernel = kernel;
    this.#marker = marker;
    this.#record = record;
    this.#checks = new CheckSchedule(() => this.#inTurn(() => this.#check()), checkEveryMs, [kernel.path, marker.path]);
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  recordChild(pid: number, ends?: RunEnds): Promise<void> {
    return this.#inTurn(async () => {
      // The record beside the marker follows at the first check: a rename costs a short command more than its run.
      this.#record = withChild(this.#record, pid, ends);
      this.#kernel.write(serializeOwnerRecord(this.#record));
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
    return [this.#kernel, ...this.#orphans].flatMap(({ descriptors }) => descriptors);
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

  #lose(why: string): void {
    this.#checks.stop();
    this.#lost.abort(new LockLostError(why));
  }

  /** A lock file unlinked under us is made and locked again at once, before anybody else takes the name for free. */
  async #keepKernelLock(): Promise<boolean> {
    if (this.#kernel.isInPlace()) return true;
    const { path } = this.#kernel;
    // Throws where the folder is away, too: a holder never makes that one again, and it may come back as it was.
    const again = await this.#kernel.lockAgain();
    if (again === "busy") {
      this.#lose(`${path} was removed, and somebody else has locked a new one`);
      return false;
    }
    // A number that cannot be read may be a later one.
    if ((generationOf(again.previous) ?? Number.POSITIVE_INFINITY) > this.generation) {
      again.release();
      this.#lose(`${path} was removed, and another claim has been made since`);
      return false;
    }
    // A command has inherited the old file: that the new one is free would prove nothing about it.
    if (this.#record.trainlock?.childPid === null)
      this.#record = withSection(this.#record, { lockInode: inodeNumber(again.inode) });
    again.write(serializeOwnerRecord(this.#record));
    // The old one stays locked: a Python waiter polls on its descriptor, and must not win a lock that nobody else sees.
    this.#orphans.push(this.#kernel);
    this.#kernel = again;
    return true;
  }

  async #keepMarker(): Promise<void> {
    const where = this.#marker.where();
    if (where === "in place") return;
    let again = where === "gone" ? this.#placeAgain() : (this.#isBack() ?? this.#replaceCopy());
    if (again === null && readMarker(this.#weightsDir)?.pid === this.#pid()) {
      // A folder that is being copied may have the marker already, and not its record yet.
      await sleep(copyMs);
      again = this.#replaceCopy();
    }
    if (again === null) {
      this.#lose(`${this.#marker.path} is another's`);
      return;
    }
    this.#away.push(this.#marker);
    if (this.#away.length > mostAway) this.#away.shift()?.close();
    this.#marker = again;
  }

  /** A folder that was away has come back with the marker that was placed in it before. */
  #isBack(): PlacedMarker | null {
    const at = this.#away.findIndex((marker) => marker.where() === "in place");
    const [back] = at < 0 ? [] : this.#away.splice(at, 1);
    if (back !== undefined) this.#rememberMarker(back.inode);
    return back ?? null;
  }

  #placeAgain(): PlacedMarker | null {
    const placed = this.#beneath((folder) => {
      const there = placeMarker(folder, this.#pid(), (inode) => this.#rememberMarker(inode));
      return there === "occupied" ? there : there.knownAs(this.#marker.path);
    });
    return placed === "occupied" ? this.#replaceCopy() : placed;
  }

  /**
   * A folder that was copied has copies of our marker and of our record, both other files than ours. A marker alone that has our
   * PID is another's: every container has its own PIDs.
   */
  #replaceCopy(): PlacedMarker | null {
    const there = readMarker(this.#weightsDir);
    const isOtherFile = this.#recordFile !== null && this.#fileBeside() !== this.#recordFile;
    const isCopied = isOtherFile && this.#isOurs(readMarkerRecord(this.#weightsDir).reading);
    if (there === null || there.pid !== this.#pid() || !isCopied) return null;
    return this.#beneath((folder) => {
      const replaced = replaceUnderKernelLock(folder, there, this.#pid(), (inode) => this.#rememberMarker(inode));
      return replaced === "changed" ? null : replaced.knownAs(this.#marker.path);
    });
  }

  #rememberMarker(inode: bigint): void {
    this.#record = withSection(this.#record, { markerInode: inodeNumber(inode) });
    this.#kernel.write(serializeOwnerRecord(this.#record));
  }

  #pid(): number {
    return this.#record.pid ?? process.pid;
  }

  #keepRecords(): void {
    const record = serializeOwnerRecord(this.#record);
    if (!this.#isComplete(this.#kernel.read())) this.#kernel.write(record);
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

  #isOurs(reading: RecordReading): boolean {
    return reading.kind === "record" && reading.record.trainlock?.token === this.token;
  }

  #isComplete(reading: RecordReading): boolean {
    const found = reading.kind === "record" ? reading.record.trainlock : null;
    const own = this.#record.trainlock;
    const same = (key: "generation" | "markerInode" | "lockInode" | "childPid") => found?.[key] === own?.[key];
    return this.#isOurs(reading) && same("generation") && same("markerInode") && same("lockInode") && same("childPid");
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
    for (const marker of this.#away.splice(0)) attempt(() => marker.close());
    attempt(() => this.#kernel.write(closing));
    for (const held of [this.#kernel, ...this.#orphans]) attempt(() => (handsOver ? held.leave() : held.release()));
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
        return this.#marker.knownAs(markerPath(folder)).remove();
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
