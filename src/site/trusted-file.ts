import type { BigIntStats } from "node:fs";
import { EnvironmentError } from "../model/errors.ts";
import { thisHost } from "../system/processes/this-host.ts";

/** A site's file that was found in the root; nobody on this call's side has named it. */
export interface FoundFile {
  readonly file: BigIntStats;
  readonly rootUid: number;
}

/**
 * Refuses a file that a stranger can have written where it decides what harms whoever believes it: it has to belong to this user,
 * root or the root's owner, and nobody else may write it. `found` null: the caller has named it, and vouches for it.
 */
export function requireTrustedFile(path: string, found: FoundFile | null, decides: string, code: string): void {
  if (found === null) return;
  const trusted = [0, thisHost().uid, found.rootUid].includes(Number(found.file.uid));
  if (trusted && (Number(found.file.mode) & 0o022) === 0) return;
  throw new EnvironmentError(`${path} decides ${decides}, and others may write it`, {
    code,
    hint: "let it belong to you, root or the root's owner, writable by nobody else (chmod go-w), or name it by --config",
  });
}
