import { crash, enter, isOver, orphan, type Rules, step, theProtocol, type World } from "./folder-model.ts";

/** One move of a schedule: the actor's next step, or its sudden death. */
export interface Move {
  readonly actor: number;
  readonly crashes: boolean;
  /** The wrapper alone dies. */
  readonly orphans?: boolean;
}

/** What is wrong in this very state, or null. */
export function faultOf(world: World): string | null {
  if (world.removed !== null) return `the marker of ${world.removed}, who lives, was removed`;
  const holders = world.actors.filter((actor) => actor.holding);
  if (holders.length > 1 && holders.some(({ kind }) => kind === "trainlock" || kind === "healer")) {
    return `${holders.map((actor) => actor.name).join(" and ")} train at the same time`;
  }
  const latest = world.started.at(-1);
  const before = world.started.at(-2);
  if (latest !== undefined && before !== undefined && latest <= before) {
    return `generation ${latest} reached a command after generation ${before}`;
  }
  return null;
}

/**
 * Everybody dies now, and one newcomer runs alone: it must get the lock by itself. Only a bare PID that an old writer
 * left on another host is beyond what a newcomer can judge.
 */
export function stuckAfterCrash(world: World, host: number, rules: Rules): string | null {
  const left = structuredClone(world);
  for (const [index, actor] of left.actors.entries()) {
    actor.lives = 0;
    crash(left, index);
  }
  const marker = left.markerName === null ? undefined : left.markers[left.markerName];
  const leftByOldWriter = marker?.creator.includes("noclobber") ?? false;
  if (leftByOldWriter && !marker?.creator.startsWith(`${host}/`)) return null;
  const before = left.started.length;
  const newcomer = enter(left, "trainlock", host, 1);
  for (let steps = 0; steps < 100; steps++) {
    const actor = left.actors[newcomer];
    if (!actor || isOver(actor)) break;
    step(left, newcomer, rules);
    const fault = faultOf(left);
    if (fault) return `after a crash, ${fault}`;
  }
  return left.started.length > before ? null : "after a crash of all, the next claim does not get the lock";
}

function movesOf(world: World, crashes: boolean): Move[] {
  const moves: Move[] = [];
  for (const [actor, { at, kind, holding }] of world.actors.entries()) {
    if (at === "end") continue;
    moves.push({ actor, crashes: false });
    if (crashes && kind !== "sweeper") moves.push({ actor, crashes: true });
    if (crashes && kind === "healer" && holding && at !== "orphan") moves.push({ actor, crashes: true, orphans: true });
  }
  return moves;
}

function make(world: World, move: Move, rules: Rules): World {
  const next = structuredClone(world);
  if (move.orphans) orphan(next, move.actor);
  else if (move.crashes) crash(next, move.actor);
  else step(next, move.actor, rules);
  return next;
}

export interface Exploration {
  readonly states: number;
  readonly fault: string | null;
  /** The moves that lead to the fault, shortest first. */
  readonly moves: readonly string[];
}

export interface ExploreOptions {
  readonly rules?: Rules;
  readonly crashes?: boolean;
  /** Hosts from which a newcomer must always succeed; none: not asked. */
  readonly newcomersFrom?: readonly number[];
  readonly mostStates?: number;
}

/** Visits every state that any interleaving can reach, nearest first, until one is wrong. */
export function explore(start: World, options: ExploreOptions = {}): Exploration {
  const { rules = theProtocol, crashes = true, newcomersFrom = [], mostStates = 2_000_000 } = options;
  const cameFrom = new Map<string, { from: string | null; by: string }>();
  const keyOf = (world: World) => JSON.stringify(world);
  const first = keyOf(start);
  cameFrom.set(first, { from: null, by: "" });
  let frontier = [start];
  while (frontier.length > 0) {
    const next: World[] = [];
    for (const world of frontier) {
      const key = keyOf(world);
      const fault =
        faultOf(world) ??
        newcomersFrom.map((host) => stuckAfterCrash(world, host, rules)).find((stuck) => stuck !== null);
      if (fault) return { states: cameFrom.size, fault, moves: wayTo(cameFrom, key) };
      for (const move of movesOf(world, crashes)) {
        const reached = make(world, move, rules);
        const reachedKey = keyOf(reached);
        if (cameFrom.has(reachedKey)) continue;
        const { name, at } = world.actors[move.actor] ?? { name: "?", at: "?" };
        cameFrom.set(reachedKey, {
          from: key,
          by: `${name} ${move.orphans ? "alone " : ""}${move.crashes ? "dies before" : ""} ${at}`,
        });
        if (cameFrom.size > mostStates) throw new Error(`more than ${mostStates} states: not explored to the end`);
        next.push(reached);
      }
    }
    frontier = next;
  }
  return { states: cameFrom.size, fault: null, moves: [] };
}

function wayTo(cameFrom: Map<string, { from: string | null; by: string }>, key: string): string[] {
  const way: string[] = [];
  for (let at: string | null = key; at !== null; ) {
    const entry: { from: string | null; by: string } | undefined = cameFrom.get(at);
    if (!entry) break;
    if (entry.by) way.unshift(entry.by);
    at = entry.from;
  }
  return way;
}

/** Plays one schedule; a move of somebody who has ended is passed over. Returns the first fault. */
export function play(start: World, moves: readonly Move[], rules: Rules): string | null {
  const world = structuredClone(start);
  for (const { actor, crashes, orphans } of moves) {
    const index = actor % world.actors.length;
    if (orphans) orphan(world, index);
    else if (crashes) crash(world, index);
    else step(world, index, rules);
    const fault = faultOf(world);
    if (fault) return fault;
  }
  return null;
}
