let isOwn = false;

/** Said by the executable: no other program's thread makes files in this process, and none is started meanwhile. */
export function declareOwnProcess(): void {
  isOwn = true;
}

/**
 * Makes a file or folder by one call, with the mode that is asked for from its first moment on. A umask belongs to the whole
 * process (umask(2)): in somebody else's program it is left alone, and the mode is set afterwards.
 */
export function withoutUmask<T>(make: () => T): T {
  if (!isOwn) return make();
  const before = process.umask(0);
  try {
    return make();
  } finally {
    process.umask(before);
  }
}
