import { chmodSync, chownSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** Two people of one group, and their group. Numbers are enough: files and processes know no names. */
export const alice = 64_101;
export const bob = 64_102;
export const group = 64_200;
const ownGroupOf = (user: number) => user;

export interface AsUser {
  readonly umask?: string;
}

/** What a command is started by to run as somebody else, with the group as a second one. */
export function as(user: number, { umask = "022" }: AsUser = {}): readonly string[] {
  const identity = [`--reuid=${user}`, `--regid=${ownGroupOf(user)}`, `--groups=${group}`, "--inh-caps=-all"];
  return ["setpriv", ...identity, "sh", "-c", `umask ${umask}; exec "$@"`, "sh"];
}

/** A root of alice's with the mode that a site gives it. Above it everything is open. */
export function sharedRoot(mode: number, owner = alice, gid = group): string {
  const above = mkdtempSync(join(realpathSync(tmpdir()), "trainlock-shared-"));
  onTestFinished(() => rmSync(above, { recursive: true, force: true }));
  chmodSync(above, 0o755);
  const root = join(above, "root");
  mkdirSync(root);
  chownSync(root, owner, gid);
  chmodSync(root, mode);
  return root;
}
