import { type Stats, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { EnvironmentError } from "../model/errors.ts";
import { allowedLinkOn } from "../system/files/allowed-links.ts";
import { nearestExisting } from "../system/files/nearest-existing.ts";
import type { Layout } from "./layout.ts";
import { isWeightsPlace, weightsFolders } from "./weights-folders.ts";

/** A link that a site allows, and the folder that it leads to here. */
export interface FollowedLink {
  readonly path: string;
  /** Null: it leads nowhere any more. */
  readonly folder: Stats | null;
}

/** The links that a site allows and that lead somewhere here. Each is looked at once, however many rows ask about them. */
export async function followedLinks(layout: Layout): Promise<readonly FollowedLink[]> {
  if (layout.links.length === 0) return [];
  const ignore = () => undefined;
  const links = new Set<string>();
  await weightsFolders(layout, { onUnreadable: ignore, onLink: ignore, onFollowed: (path) => links.add(path) });
  return [...links].map((path) => ({ path, folder: statOf(path) }));
}

/**
 * Another configuration's weights dir that is the same folder, for a link leads to it; null: there is none. Folders are told
 * apart by device and inode: one may be mounted in two places.
 */
export function sameFolderAs(layout: Layout, links: readonly FollowedLink[], weightsDir: string): string | null {
  const own = links.length === 0 ? null : allowedLinkOn(layout, weightsDir);
  if (own === null) return null;
  const others = links.filter(({ path }) => path !== own.path);
  const { leadsTo } = nearestExisting(weightsDir);
  for (let above = leadsTo; above !== "/"; above = dirname(above)) {
    const stats = statOf(above);
    if (stats === null) continue;
    for (const { path, folder } of others) {
      const place = join(path, relative(above, leadsTo));
      if (folder?.ino === stats.ino && folder.dev === stats.dev && isWeightsPlace(layout, place)) return place;
    }
  }
  return null;
}

/** Throws an EnvironmentError where another configuration has the same folder behind a link. */
export async function requireOwnFolder(layout: Layout, weightsDir: string): Promise<void> {
  if (layout.links.length === 0 || allowedLinkOn(layout, weightsDir) === null) return;
  const other = sameFolderAs(layout, await followedLinks(layout), weightsDir);
  if (other === null) return;
  throw new EnvironmentError(sameFolderText(weightsDir, other), {
    code: "ERR_SHARED_FOLDER",
    hint: "each configuration needs a folder of its own: let one of the links lead elsewhere",
  });
}

export function sameFolderText(weightsDir: string, other: string): string {
  return `${weightsDir} and ${other} are one folder behind links, and two configurations would train in it`;
}

function statOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch {
    return null;
  }
}
