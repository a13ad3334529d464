import type { MarkerFacts } from "../../model/lock-facts.ts";
import { sleep } from "../../system/clock/sleep.ts";
import { systemError } from "../../system/libc/errno.ts";
import { type Announce, type PlacedMarker, placeMarker } from "./marker.ts";
import { replaceUnderKernelLock } from "./marker-takeover.ts";
import { isSameTime, readMarker } from "./read-marker.ts";

/** How long a marker may lie there before the record that is copied with it. */
const copyMs = 300;
/** Folders come and go a few times at most; each that is away costs a descriptor. */
const mostAway = 4;
/** Folders that come and go all the time show another marker at each look, or none: this many looks at a check. */
const mostLooks = 4;

/** What a claim knows of its marker's surroundings. */
export interface MarkerPlace {
  readonly weightsDir: string;
  /** Changes files in the weights dir, which is held open for that. */
  readonly beneath: <T>(change: (folder: string) => T) => T;
  readonly pid: () => number;
  /** Writes down which marker is the claim's. */
  readonly remember: Announce;
  /** Whether the record beside the marker is a copy of the claim's own. */
  readonly besideCopy: () => boolean;
}

/** The marker of a claim: it is placed again where it was removed, and known again where its folder was away, or copied. */
export class KeptMarker {
  readonly #place: MarkerPlace;
  /** Markers that were away when this claim placed another. They stay open, so that each is known by its inode. */
  readonly #away: PlacedMarker[] = [];
  #marker: PlacedMarker;

  constructor(marker: PlacedMarker, place: MarkerPlace) {
    this.#marker = marker;
    this.#place = place;
  }

  get path(): string {
    return this.#marker.path;
  }

  /**
   * False: the marker is another's. That is said of a marker that was seen there and is none of ours: what comes and goes
   * between two looks proves nothing. Throws where it cannot be told.
   */
  async keep(): Promise<boolean> {
    let waited = false;
    for (let looks = 1; looks <= mostLooks; looks += 1) {
      if (this.#regain()) return true;
      const there = this.#anothers();
      if (there === null) continue;
      if (waited || there.pid !== this.#place.pid()) return false;
      // A folder that is being copied may have the marker already, and not its record yet.
      await sleep(copyMs);
      waited = true;
    }
    throw systemError("check the marker", this.path, "EAGAIN");
  }

  /** Whether a marker stands there that this claim has not placed. */
  isAnothers(): boolean {
    return this.#anothers() !== null;
  }

  where(): ReturnType<PlacedMarker["where"]> {
    return this.#marker.where();
  }

  /** Removes it below a folder that is held open; false: it stays. */
  removeIn(markerThere: string): boolean {
    return this.#marker.knownAs(markerThere).remove();
  }

  close(): void {
    this.#marker.close();
  }

  closeAway(): void {
    for (const marker of this.#away.splice(0)) marker.close();
  }

  /** Somebody may have touched it, as some do with all their files: the record must go on to describe it. */
  keepTime(recorded: bigint | null): void {
    const modifiedNs = this.#marker.modifiedNs();
    if (!isSameTime(recorded, modifiedNs)) this.#place.remember({ ino: this.#marker.inode, mtimeNs: modifiedNs });
  }

  #anothers(): MarkerFacts | null {
    const there = readMarker(this.#place.weightsDir);
    return there === null || [this.#marker, ...this.#away].some((own) => own.is(there)) ? null : there;
  }

  #regain(): boolean {
    const where = this.#marker.where();
    if (where === "in place" || (where === "gone" && this.#placeAgain())) return true;
    // Its place is taken: by our own marker, which came back with its folder just now, or by what is found out next.
    return this.#marker.where() === "in place" || this.#isBack() || this.#replaceCopy();
  }

  /** A folder that was away has come back with the marker that was placed in it before. */
  #isBack(): boolean {
    const at = this.#away.findIndex((marker) => marker.where() === "in place");
    const [back] = at < 0 ? [] : this.#away.splice(at, 1);
    if (back === undefined) return false;
    this.#place.remember(back.file);
    this.#succeed(back);
    return true;
  }

  #placeAgain(): boolean {
    return this.#put((folder, announce) => placeMarker(folder, this.#place.pid(), announce));
  }

  /**
   * A folder that was copied has copies of our marker and of our record, both other files than ours. A marker alone that has our
   * PID is another's: every container has its own PIDs.
   */
  #replaceCopy(): boolean {
    const there = readMarker(this.#place.weightsDir);
    if (there === null || there.pid !== this.#place.pid() || !this.#place.besideCopy()) return false;
    return this.#put((folder, announce) => replaceUnderKernelLock(folder, there, this.#place.pid(), announce));
  }

  #put(put: (folder: string, announce: Announce) => PlacedMarker | "occupied" | "changed"): boolean {
    let announced = false;
    let placed: PlacedMarker | null = null;
    const announce: Announce = (own) => {
      announced = true;
      this.#place.remember(own);
    };
    try {
      placed = this.#place.beneath((folder) => {
        const there = put(folder, announce);
        return typeof there === "string" ? null : there.knownAs(this.path);
      });
    } finally {
      // The record must go on to describe the marker that is ours.
      if (announced && placed === null) this.#place.remember(this.#marker.file);
    }
    if (placed !== null) this.#succeed(placed);
    return placed !== null;
  }

  #succeed(marker: PlacedMarker): void {
    this.#away.push(this.#marker);
    if (this.#away.length > mostAway) this.#away.shift()?.close();
    this.#marker = marker;
  }
}
