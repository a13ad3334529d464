import { constants } from "node:os";
import { EnvironmentError, TrainlockError } from "../../model/errors.ts";
import { lazily } from "../../model/lazily.ts";

const nameOfNumber = lazily(() => new Map(Object.entries(constants.errno).map(([name, number]) => [number, name])));

/** `ENOLCK` for 37, and so on. */
export function errnoName(errno: number): string {
  return nameOfNumber().get(errno) ?? (errno === 524 ? "ENOTSUPP" : `errno ${errno}`);
}

/** The errno name of an exception of node:fs, or undefined for any other exception. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error) || typeof error.code !== "string") return undefined;
  // `EAI_AGAIN` and the like are of getaddrinfo(3).
  if (/^E(AI_)?[A-Z0-9]+$/.test(error.code)) return error.code;
  // Errors that the runtime does not know by name still carry the number.
  return "errno" in error && typeof error.errno === "number" ? errnoName(Math.abs(error.errno)) : undefined;
}

export function isErrno(error: unknown, ...names: string[]): boolean {
  const name = errnoOf(error);
  return name !== undefined && names.includes(name);
}

const hints: Record<string, string> = {
  EACCES: "ask the owner for group write permission, or check the permissions of the folder",
  EPERM: "only the owner may do this here (a sticky folder, or an immutable file)",
  EROFS: "the file system is mounted read-only here; use a host where it is writable",
  ENOSPC: "the disk is full: free some space",
  EDQUOT: "your disk quota is used up: free some space",
  EFBIG: "files may not grow that large here: raise `ulimit -f`, or ask whoever limits them",
  ENOLCK: "the file system has no lock manager that answers (NFS: is rpc.statd running?)",
  ENOSYS: "the file system is mounted without locks (Lustre: mount with the flock option)",
  EOPNOTSUPP: "the file system does not support locks",
  ESTALE: "the file server no longer knows the file: check the mount",
  EIO: "the file system reports a fault: check the mount",
  EMFILE: "too many open files in this process: raise `ulimit -n`",
  ENFILE: "too many open files on this host",
  ELOOP: "a symbolic link stands where a lock file belongs: remove it",
  ENOTDIR: "a file stands where a folder belongs",
  ENOENT: "check that the folder exists",
  EBADF: "the file system needs a descriptor open for writing to lock it",
};

/** What a failed system call becomes: names the call, the path and the errno. Exit code 3. */
export function systemError(
  doing: string,
  path: string,
  errno: string,
  cause?: unknown,
  extra?: string,
  hint: string | undefined = hints[errno],
): EnvironmentError {
  // Whose the folder is says nothing of a disk that is full.
  const more = extra === undefined || errno === "ENOSPC" || errno === "EDQUOT" ? "" : ` (${extra})`;
  return new EnvironmentError(`cannot ${doing} ${path}: ${errno}${more}`, {
    code: errno,
    ...(hint === undefined ? {} : { hint }),
    cause,
  });
}

/** An exception of node:fs as a {@link systemError}; one of our own, or a defect, as it is. */
export function asSystemError(doing: string, path: string, error: unknown, extra?: string): unknown {
  const errno = error instanceof TrainlockError ? undefined : errnoOf(error);
  return errno === undefined ? error : systemError(doing, path, errno, error, extra);
}

const deeds: Record<string, string> = {
  access: "look at",
  lstat: "look at",
  mkdir: "make the folder",
  open: "open",
  readlink: "look at",
  scandir: "list",
  stat: "look at",
  unlink: "remove",
};

/** An exception of node:fs that nobody has expected, in our words; null: it is none, or names no path. */
export function unexpectedSystemError(error: unknown): EnvironmentError | null {
  const errno = errnoOf(error);
  if (errno === undefined || !(error instanceof Error) || error instanceof TrainlockError) return null;
  const { path, syscall } = error as { path?: unknown; syscall?: unknown };
  if (typeof path !== "string" || typeof syscall !== "string") return null;
  return systemError(deeds[syscall] ?? syscall, path, errno, error);
}
