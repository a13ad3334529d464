import { lstatSync, realpathSync } from "node:fs";
import { requireAllowed } from "./allowed-links.ts";
import { contains } from "./mount-table.ts";
import { nearestExisting } from "./nearest-existing.ts";
import { type Bounds, isOutsideRoot } from "./outside-root.ts";

/** Whether a path stays in bounds when its links are followed. Where that cannot be known, later steps fail by themselves. */
export function isWithin(bounds: Bounds, path: string): boolean {
  try {
    requireWithin(bounds, path);
    return true;
  } catch (error) {
    if (isOutsideRoot(error)) return false;
    throw error;
  }
}

/**
 * Refuses a path that a link leads out of the root, and not into a folder that the site allows: whoever can write a folder on the
 * way can plant one, and what we create and remove there would be somebody else's.
 */
export function requireWithin(bounds: Bounds, path: string): void {
  const { leadsTo } = nearestExisting(path);
  if (!isBelowRoot(bounds.root, leadsTo)) requireAllowed(bounds, path, leadsTo);
}

/** The same for many folders: of those that lie in one folder, the way to that one is followed once. */
export class BoundsChecker {
  readonly #bounds: Bounds;
  #parent = "";

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
  }

  requireWithin(path: string): void {
    const parent = path.slice(0, path.lastIndexOf("/"));
    if (parent !== this.#parent && isWithin(this.#bounds, parent)) this.#parent = parent;
    const mayLeadElsewhere = lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() !== false;
    if (parent !== this.#parent || mayLeadElsewhere) requireWithin(this.#bounds, path);
  }
}

function isBelowRoot(root: string, leadsTo: string): boolean {
  // The beginning of a path without links has none either: a root that it begins with need not be looked at.
  if (leadsTo.startsWith(`${root}/`)) return true;
  try {
    const real = realpathSync(root);
    return contains(real, leadsTo);
  } catch {
    return true;
  }
}
