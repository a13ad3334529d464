import { inodeNumber } from "../../model/inode.ts";
import type { KernelLockState } from "../../model/lock-facts.ts";
import type { OwnerRecord } from "../../model/owner-record.ts";

/**
 * What it tells about the owner in `record` that this lock file is free, and nothing where none is kept. It proves the owner's end only if it is the very
 * file that the owner locked: one that came after an unlink says nothing, and looks the same. An inode number is not given
 * again while its file is held open, so a living owner's file cannot be mistaken.
 */
export function freeLockState(
  record: OwnerRecord | null,
  file: { readonly inode: bigint; readonly created: boolean; readonly excludes: boolean },
): KernelLockState {
  if (!file.excludes) return { state: "none" };
  const locked = record?.trainlock?.lockInode ?? null;
  const same = locked === null ? !file.created : locked === inodeNumber(file.inode);
  return { state: same ? "free" : "absent" };
}
