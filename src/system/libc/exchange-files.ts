import { constants } from "node:os";
import { errnoName } from "./errno.ts";
import { libc } from "./libc.ts";

/** RENAME_NOREPLACE and RENAME_EXCHANGE of renameat2(2). */
const [renameNoReplace, renameExchange] = [1, 2];

/**
 * Swaps two paths in one step, so that neither name is ever free. `unsupported` where kernel or file system cannot
 * (EINVAL and ENOSYS by renameat2(2); NFS and many FUSE file systems among them), else the errno name.
 */
export function exchangePaths(a: string, b: string): "exchanged" | "unsupported" | { readonly errno: string } {
  const result = libc().renameat2(a, b, renameExchange);
  if (result >= 0) return "exchanged";
  const { EINVAL, ENOSYS, EOPNOTSUPP } = constants.errno;
  return [EINVAL, ENOSYS, EOPNOTSUPP].includes(-result) ? "unsupported" : { errno: errnoName(-result) };
}

/** Renames a file unless the other path is taken. False: it is, or the file system cannot tell. */
export function renameToFreePath(from: string, to: string): boolean {
  return libc().renameat2(from, to, renameNoReplace) >= 0;
}
