/**
 * A shared folder and the programs that lock in it, as data. Every step is one thing the kernel does without being
 * interrupted (one system call); whatever may happen between two calls can happen between two steps.
 */

/** A kernel lock file: its inode number is its place in the list. */
interface LockFile {
  holder: string | null;
  /** Null: empty, or what an old writer put there. */
  record: KernelRecord | null;
}

interface KernelRecord {
  generation: number;
  /** The marker its writer was about to place, and the one that stood there before, when it had been judged dead. */
  markers: number[];
  released: boolean;
  /** The file that the command has inherited: of a file that was made again later, a free lock proves nothing. */
  lockFile: number | null;
}

interface MarkerRecord {
  generation: number;
  marker: number;
  /** The lock file that its owner has locked: only of that one a free lock proves anything. */
  lockFile: number | null;
}

/** A marker's content: the process that it names, or null while it is empty. */
interface Marker {
  names: string | null;
  creator: string;
  /** Its inode number: that of a removed one, where nobody has it open. Its place in the list is what its time tells apart. */
  inode: number;
}

export interface World {
  lockFiles: LockFile[];
  /** What the name of the lock file leads to. */
  lockName: number | null;
  markers: Marker[];
  markerName: number | null;
  markerRecord: MarkerRecord | null;
  alive: string[];
  actors: Actor[];
  /** Generations in the order in which commands saw them. */
  started: number[];
  /** Whose marker was unlinked while he lived, by a program of ours. */
  removed: string | null;
}

export type ActorKind = "trainlock" | "noclobber" | "python" | "python-clear" | "sweeper" | "healer" | "clear";

export interface Actor {
  readonly name: string;
  readonly kind: ActorKind;
  readonly host: number;
  /** How often it may still start anew, after its end or its crash. */
  lives: number;
  process: string;
  /** The step that comes next; `end` when there is none. */
  at: string;
  /** Whether its command is running: what must never be true of two. */
  holding: boolean;
  fd: number | null;
  temporary: number | null;
  own: number | null;
  generation: number;
  previous: KernelRecord | null;
  judged: number | null;
  judgedNames: string | null;
  describedDead: number[];
  /** The lock file that its command has inherited. */
  inherited: number | null;
}

/** Where the protocol can be broken on purpose. A property that no broken protocol violates proves nothing. */
export interface Rules {
  readonly releaseUnlinksLockFile: boolean;
  readonly takeoverUnlinksThenCreates: boolean;
  readonly takeoverWithoutLastCheck: boolean;
  readonly unlockBeforeMarkerRemoval: boolean;
  readonly noPlaceComparison: boolean;
  readonly markerIgnored: boolean;
  readonly recordAfterMarker: boolean;
  readonly freeLockOfAnyFileProves: boolean;
  readonly generationReadOnce: boolean;
  readonly generationFromKernelRecordOnly: boolean;
  readonly clearUnlinksWhatItJudged: boolean;
  readonly recordTiedByInodeAlone: boolean;
  readonly healedFileProves: boolean;
}

export const theProtocol: Rules = {
  releaseUnlinksLockFile: false,
  takeoverUnlinksThenCreates: false,
  takeoverWithoutLastCheck: false,
  unlockBeforeMarkerRemoval: false,
  noPlaceComparison: false,
  markerIgnored: false,
  recordAfterMarker: false,
  freeLockOfAnyFileProves: false,
  generationReadOnce: false,
  generationFromKernelRecordOnly: false,
  clearUnlinksWhatItJudged: false,
  recordTiedByInodeAlone: false,
  healedFileProves: false,
};

export interface Casting {
  readonly kind: ActorKind;
  readonly host?: number;
  readonly lives?: number;
}

export function makeWorld(cast: readonly Casting[]): World {
  const world: World = {
    lockFiles: [],
    lockName: null,
    markers: [],
    markerName: null,
    markerRecord: null,
    alive: [],
    actors: [],
    started: [],
    removed: null,
  };
  for (const { kind, host = 0, lives = 1 } of cast) enter(world, kind, host, lives);
  return world;
}

/** Adds an actor at its first step. */
export function enter(world: World, kind: ActorKind, host: number, lives: number): number {
  const name = `${kind}${world.actors.length}`;
  const actor: Actor = {
    name,
    kind,
    host,
    lives,
    process: "",
    at: "end",
    holding: false,
    fd: null,
    temporary: null,
    own: null,
    generation: 0,
    previous: null,
    judged: null,
    judgedNames: null,
    describedDead: [],
    inherited: null,
  };
  world.actors.push(actor);
  startLife(world, actor);
  return world.actors.length - 1;
}

const firstStep: Record<ActorKind, string> = {
  trainlock: "open",
  noclobber: "create",
  python: "open",
  "python-clear": "open",
  sweeper: "sweep",
  healer: "open",
  clear: "open",
};

function startLife(world: World, actor: Actor): void {
  if (actor.lives === 0) {
    actor.at = "end";
    return;
  }
  actor.process = `${actor.host}/${actor.name}/${actor.lives}`;
  actor.lives -= 1;
  world.alive.push(actor.process);
  Object.assign(actor, {
    at: firstStep[actor.kind],
    holding: false,
    fd: null,
    temporary: null,
    own: null,
    generation: 0,
    previous: null,
    judged: null,
    judgedNames: null,
    describedDead: [],
    inherited: null,
  });
}

/** The end of a process, by itself or by `kill -9`: the kernel gives back what it held and nothing else happens. */
function die(world: World, actor: Actor): void {
  world.alive = world.alive.filter((process) => process !== actor.process);
  for (const file of world.lockFiles) if (file.holder === actor.process) file.holder = null;
  actor.holding = false;
  startLife(world, actor);
}

export function isOver(actor: Actor): boolean {
  return actor.at === "end";
}

export function crash(world: World, index: number): void {
  const actor = world.actors[index];
  if (actor && !isOver(actor)) die(world, actor);
}

/** The wrapper is killed, and its command trains on: with the lock file that it has inherited, and with no other. */
export function orphan(world: World, index: number): void {
  const actor = world.actors[index];
  if (!actor?.holding || (actor.kind !== "trainlock" && actor.kind !== "healer")) return;
  for (const [inode, file] of world.lockFiles.entries())
    if (file.holder === actor.process && inode !== actor.inherited) file.holder = null;
  actor.at = "orphan";
}

export function step(world: World, index: number, rules: Rules): void {
  const actor = world.actors[index];
  if (!actor || isOver(actor)) return;
  const next = stepOf(world, actor, rules);
  if (next === over) die(world, actor);
  else actor.at = next;
}

const over = "over";

/** Does what the actor's next step does, and tells the one after it. */
function stepOf(world: World, actor: Actor, rules: Rules): string {
  if (["trainlock", "healer", "clear"].includes(actor.kind)) return stepTrainlock(world, actor, rules);
  if (actor.kind === "noclobber") return stepNoclobber(world, actor);
  if (actor.kind === "python") return stepPython(world, actor);
  if (actor.kind === "python-clear") return stepPythonClear(world, actor);
  return stepSweeper(world);
}

/** Old job scripts: create if absent, write the PID, train, `rm -f` whatever stands there. */
function stepNoclobber(world: World, actor: Actor): string {
  switch (actor.at) {
    case "create":
      if (world.markerName !== null) return over;
      actor.own = makeMarker(world, null, actor.process);
      world.markerName = actor.own;
      return "write";
    case "write":
      if (actor.own !== null) fileOf(world.markers, actor.own).names = actor.process;
      actor.holding = true;
      return "train";
    case "train":
      actor.holding = false;
      return "rm";
    default:
      world.markerName = null;
      return over;
  }
}

/** The old Python writer: empties the file before it asks for the lock, and unlinks it after it has given it back. */
function stepPython(world: World, actor: Actor): string {
  switch (actor.at) {
    case "open":
      world.lockName ??= world.lockFiles.push({ holder: null, record: null }) - 1;
      actor.fd = world.lockName;
      fileOf(world.lockFiles, actor.fd).record = null;
      return "lock";
    case "lock": {
      const file = fileOf(world.lockFiles, actor.fd);
      if (file.holder !== null) return over;
      file.holder = actor.process;
      return "unlock";
    }
    case "unlock":
      fileOf(world.lockFiles, actor.fd).holder = null;
      return "unlink";
    default:
      world.lockName = null;
      return over;
  }
}

/** The old Python `clear`: unlinks, under the lock, every lock file that it could lock. */
function stepPythonClear(world: World, actor: Actor): string {
  switch (actor.at) {
    case "open":
      if (world.lockName === null) return over;
      actor.fd = world.lockName;
      return "lock";
    case "lock": {
      const file = fileOf(world.lockFiles, actor.fd);
      if (file.holder !== null) return over;
      file.holder = actor.process;
      return "unlink";
    }
    default:
      world.lockName = null;
      return over;
  }
}

/** Somebody who tidies up by hand: removes a marker whose process is gone, and looks well before doing so. */
function stepSweeper(world: World): string {
  const marker = world.markerName === null ? null : fileOf(world.markers, world.markerName);
  if (marker && !world.alive.includes(marker.names ?? marker.creator)) world.markerName = null;
  return over;
}

/** The lowest number that no marker has that is in place or open. */
function makeMarker(world: World, names: string | null, creator: string): number {
  const open = world.actors.flatMap(({ own, temporary, at, kind, process }) =>
    at === "end" || kind === "noclobber" || !world.alive.includes(process) ? [] : [own, temporary],
  );
  const taken = [world.markerName, ...open].map((marker) =>
    marker === null ? -1 : (world.markers[marker]?.inode ?? -1),
  );
  let inode = 0;
  while (taken.includes(inode)) inode += 1;
  return world.markers.push({ names, creator, inode }) - 1;
}

/** A marker that is unlinked must be the remover's own, or that of a process that has ended. */
function noteRemoval(world: World, actor: Actor, marker: number | null): void {
  if (marker === null) return;
  const { names, creator } = fileOf(world.markers, marker);
  const owner = names ?? creator;
  if (owner !== actor.process && world.alive.includes(owner)) world.removed = owner;
}

function fileOf<T>(files: T[], inode: number | null): T {
  const file = inode === null ? undefined : files[inode];
  if (file === undefined) throw new Error(`the model opened inode ${inode}, which nobody made`);
  return file;
}

function stepTrainlock(world: World, actor: Actor, rules: Rules): string {
  const lockFile = () => fileOf(world.lockFiles, actor.fd);
  switch (actor.at) {
    case "open":
      world.lockName ??= world.lockFiles.push({ holder: null, record: null }) - 1;
      actor.fd = world.lockName;
      return "lock";
    case "lock":
      if (lockFile().holder !== null) return over;
      lockFile().holder = actor.process;
      return rules.noPlaceComparison ? "read" : "compare";
    case "compare":
      if (world.lockName === actor.fd) return "read";
      lockFile().holder = null;
      return "open";
    case "read": {
      actor.previous = lockFile().record;
      const inMarkerRecord = rules.generationFromKernelRecordOnly ? 0 : (world.markerRecord?.generation ?? 0);
      actor.generation = 1 + Math.max(inMarkerRecord, actor.previous?.generation ?? 0);
      return "look";
    }
    case "look":
      if (rules.markerIgnored) return "start";
      if (world.markerName === null) {
        if (actor.kind === "clear") return "unlock";
        return rules.recordAfterMarker ? "link" : "announce";
      }
      actor.judged = world.markerName;
      return "read-marker";
    case "announce":
      actor.temporary ??= makeMarker(world, actor.process, actor.process);
      lockFile().record = {
        generation: actor.generation,
        markers: [actor.temporary, ...actor.describedDead],
        released: false,
        lockFile: actor.fd,
      };
      return actor.judged === null ? "link" : "last-check";
    case "link":
      actor.temporary ??= makeMarker(world, actor.process, actor.process);
      if (world.markerName !== null) return "look";
      world.markerName = actor.temporary;
      actor.own = actor.temporary;
      return rules.recordAfterMarker ? "late-announce" : "write-marker-record";
    case "late-announce":
      lockFile().record = {
        generation: actor.generation,
        markers: [actor.own ?? -1],
        released: false,
        lockFile: actor.fd,
      };
      return "write-marker-record";
    case "read-marker":
      actor.judgedNames = actor.judged === null ? null : fileOf(world.markers, actor.judged).names;
      return "judge";
    case "judge": {
      const verdict = judgeMarker(world, actor, rules);
      if (verdict !== "stale") return over;
      if (actor.kind === "clear" && rules.clearUnlinksWhatItJudged) return "unlink-judged";
      if (rules.takeoverUnlinksThenCreates) return "takeover-unlink";
      return rules.takeoverWithoutLastCheck ? "rename-over" : "announce";
    }
    case "takeover-unlink":
      world.markerName = null;
      actor.judged = null;
      return "announce";
    case "rename-over":
      actor.temporary ??= makeMarker(world, actor.process, actor.process);
      world.markerName = actor.temporary;
      actor.own = actor.temporary;
      return "write-marker-record";
    case "last-check":
      return world.markerName === actor.judged ? "exchange" : over;
    case "exchange":
    case "exchange-again": {
      if (world.markerName === null) return over;
      const taken: number = world.markerName;
      world.markerName = actor.temporary;
      actor.temporary = taken;
      return "see-what-came-out";
    }
    case "see-what-came-out": {
      const cameOut = fileOf(world.markers, actor.temporary);
      if (actor.temporary === actor.judged) {
        actor.own = world.markerName;
        // What was exchanged in may have been taken away meanwhile; only its own marker in place makes a holder.
        if (actor.own === null || fileOf(world.markers, actor.own).creator !== actor.process) return over;
        noteRemoval(world, actor, actor.temporary);
        return actor.kind === "clear" ? "look-at-own" : "write-marker-record";
      }
      // Its own marker came back out: nothing of it is left in the folder.
      if (cameOut.creator === actor.process) return over;
      return "exchange-again";
    }
    case "write-marker-record":
      // Under the marker, too: whoever locked another file of this name may have been here since the first look.
      if (!rules.generationReadOnce && !rules.generationFromKernelRecordOnly)
        actor.generation = Math.max(actor.generation, 1 + (world.markerRecord?.generation ?? 0));
      world.markerRecord = { generation: actor.generation, marker: actor.own ?? -1, lockFile: actor.fd };
      return "start";
    case "unlink-judged":
      noteRemoval(world, actor, world.markerName);
      world.markerName = null;
      return "unlock";
    case "start":
      actor.holding = true;
      actor.inherited = actor.fd;
      world.started.push(actor.generation);
      return actor.kind === "healer" ? "watch-lock" : "train";
    case "watch-lock":
      return world.lockName === actor.fd ? "watch-marker" : "heal-open";
    case "heal-open":
      world.lockName ??= world.lockFiles.push({ holder: null, record: null }) - 1;
      actor.temporary = world.lockName;
      return "heal-lock";
    case "heal-lock": {
      const again = fileOf(world.lockFiles, actor.temporary);
      // Somebody else has it: lost, and the command is stopped.
      if (again.holder !== null && again.holder !== actor.process) return over;
      again.holder = actor.process;
      return "heal-compare";
    }
    case "heal-compare":
      if (world.lockName !== actor.temporary) {
        fileOf(world.lockFiles, actor.temporary).holder = null;
        return "heal-open";
      }
      if ((fileOf(world.lockFiles, actor.temporary).record?.generation ?? 0) > actor.generation) return over;
      return "heal-record";
    case "heal-record":
      actor.fd = actor.temporary;
      lockFile().record = {
        generation: actor.generation,
        markers: [actor.own ?? -1],
        released: false,
        lockFile: actor.inherited,
      };
      return "watch-marker";
    case "watch-marker":
      if (world.markerName === actor.own) return "train";
      return world.markerName === null ? "heal-marker" : over;
    case "heal-marker":
      if (world.markerName !== null) return over;
      actor.own = makeMarker(world, actor.process, actor.process);
      world.markerName = actor.own;
      lockFile().record = {
        generation: actor.generation,
        markers: [actor.own],
        released: false,
        lockFile: actor.inherited,
      };
      return "heal-marker-record";
    case "heal-marker-record":
      world.markerRecord = { generation: actor.generation, marker: actor.own ?? -1, lockFile: actor.inherited };
      return "train";
    case "orphan":
      // The command ends by itself, and releases nothing.
      return over;
    case "train":
      actor.holding = false;
      return rules.unlockBeforeMarkerRemoval ? "unlock-early" : "look-at-own";
    case "unlock-early":
      lockFile().holder = null;
      return "look-at-own";
    case "look-at-own":
      if (world.markerName === actor.own && actor.own !== null) return "remove-own";
      return "write-released";
    case "remove-own":
      noteRemoval(world, actor, world.markerName);
      world.markerName = null;
      return "write-released";
    case "write-released":
      if (actor.kind === "clear") {
        lockFile().record = actor.previous;
        return "unlock";
      }
      if (!rules.unlockBeforeMarkerRemoval) {
        lockFile().record = {
          generation: actor.generation,
          markers: [actor.own ?? -1],
          released: true,
          lockFile: actor.fd,
        };
      }
      return "unlock";
    case "unlock":
      for (const file of world.lockFiles) if (file.holder === actor.process) file.holder = null;
      return rules.releaseUnlinksLockFile ? "unlink-lock-file" : over;
    case "unlink-lock-file":
      world.lockName = null;
      return over;
    default:
      throw new Error(`the model has no step ${actor.at}`);
  }
}

/** What the holder of the kernel lock may conclude about the marker, from where it stands. */
function judgeMarker(world: World, actor: Actor, rules: Rules): "active" | "stale" | "unknown" {
  const { judged, judgedNames, previous } = actor;
  if (judged === null) return "unknown";
  const isHere = (process: string) => process.startsWith(`${actor.host}/`);
  const numberOf = (marker: number) => world.markers[marker]?.inode;
  // By number and time: a marker that has the number of a removed one is younger than the record.
  const isJudged = (marker: number) =>
    rules.recordTiedByInodeAlone ? numberOf(marker) === numberOf(judged) : marker === judged;
  const inThisFile = previous?.markers.some(isJudged) ?? false;
  const beside = world.markerRecord !== null && isJudged(world.markerRecord.marker) ? world.markerRecord : null;
  if (inThisFile || beside !== null) {
    const isOwners = inThisFile && previous !== null ? previous.lockFile === actor.fd : beside?.lockFile === actor.fd;
    const proves = isOwners || rules.freeLockOfAnyFileProves || (inThisFile && rules.healedFileProves);
    if (judgedNames !== null && isHere(judgedNames) && !rules.healedFileProves) {
      if (world.alive.includes(judgedNames)) return "active";
    } else if (!proves) return "unknown";
    actor.describedDead = [judged];
    return "stale";
  }
  if (judgedNames === null) {
    // It is empty for an instant only; a minute later its writer has died in between, or written.
    return world.alive.includes(fileOf(world.markers, judged).creator) ? "unknown" : "stale";
  }
  if (!isHere(judgedNames)) return "unknown";
  return world.alive.includes(judgedNames) ? "active" : "stale";
}
