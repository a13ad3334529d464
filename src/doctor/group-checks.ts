import { accessSync, constants, readdirSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { fault, type Outcome, warning } from "../model/finding.ts";
import { foreignGroup } from "../site/foreign-group.ts";
import { isKernelLockName, type Layout } from "../site/layout.ts";
import { declaredGroup, ownerOf } from "../system/files/shared-permissions.ts";
import { errnoOf } from "../system/libc/errno.ts";
import { groupText } from "../system/processes/groups.ts";

interface Found {
  readonly subject: string;
  readonly outcome: Outcome;
}

const groupWrites = 0o020;
/** Who may look, and not write, may be meant to train here. */
const othersLook = 0o055;
const mostNamed = 3;

/** What keeps colleagues from locking what this user creates in `folders`, and this user from what they have created. */
export function groupFindings(layout: Layout, folders: readonly string[]): readonly Found[] {
  const { lockDir, site } = layout;
  const foreign = foreignGroup(layout);
  const found: Found[] = [];
  if (foreign !== null) {
    const means = "it keeps the group of its folder: members of the other group may not lock it";
    found.push({
      subject: lockDir,
      outcome: fault(foreign, means, "join that group, or name the one that all are in"),
    });
  }
  const isForGroup = site.group !== null || ((site.mode ?? 0) & groupWrites) !== 0;
  for (const folder of folders) {
    const stats = statsOf(folder);
    const outcome = stats === null ? null : folderOutcome(stats, isForGroup, declaredGroup(lockDir));
    if (outcome !== null) found.push({ subject: folder, outcome });
  }
  const stats = statsOf(lockDir);
  if (stats !== null) for (const outcome of lockFileOutcomes(lockDir, stats)) found.push({ subject: lockDir, outcome });
  return found;
}

function folderOutcome(folder: Stats, isForGroup: boolean, declared: number | null): Outcome | null {
  const mode = (folder.mode & 0o7777).toString(8).padStart(4, "0");
  const said = `${groupText(folder.gid)}, mode ${mode}`;
  if ((folder.mode & groupWrites) === 0) {
    const means = "colleagues can take no locks here, nor lock what you create";
    if (isForGroup) return fault(`${said}, but trainlock.yaml has it for a group`, means, "chmod g+rwxs");
    const remedy = "for a group: chmod 2775; for you alone, this is as it should be";
    return (folder.mode & othersLook) === 0 ? null : warning(`${said}: only its owner can write`, means, remedy);
  }
  if (declared === null || declared === folder.gid) return null;
  const means = "whoever is in one of the groups alone cannot lock what others create";
  return fault(`${said}, but trainlock.yaml has ${groupText(declared)}`, means, "chgrp the folder to that group");
}

/** Lock files that this user cannot lock, or that only their owner can. */
function lockFileOutcomes(lockDir: string, folder: Stats): readonly Outcome[] {
  const closed: string[] = [];
  const single: string[] = [];
  for (const name of readdirSync(lockDir).filter(isKernelLockName)) {
    const path = join(lockDir, name);
    const file = statsOf(path);
    if (file === null || !file.isFile()) continue;
    if (!isOurs(path)) closed.push(path);
    else if ((folder.mode & groupWrites) !== 0 && ((file.mode & groupWrites) === 0 || file.gid !== folder.gid))
      single.push(path);
  }
  const outcomes: Outcome[] = [];
  const named = (paths: readonly string[]) =>
    paths
      .slice(0, mostNamed)
      .map((path) => ownerOf(path) ?? path)
      .join("; ") + (paths.length > mostNamed ? `; ${paths.length - mostNamed} more` : "");
  const remedy = "their owners can: chgrp to the group of the folder, and chmod g+rw";
  if (closed.length > 0)
    outcomes.push(fault(`lock files that you cannot lock: ${named(closed)}`, "run ends there with exit 3", remedy));
  if (single.length > 0)
    outcomes.push(
      warning(`lock files that the group cannot lock: ${named(single)}`, "colleagues end there with exit 3", remedy),
    );
  return outcomes;
}

function isOurs(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

function statsOf(path: string): Stats | null {
  try {
    return statSync(path);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return null;
  }
}
