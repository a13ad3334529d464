/** Set by the build of the executable, and there alone. */
declare const TRAINLOCK_VERSION: string | undefined;

/** Whether this is the executable, which can start itself, or the library in somebody's program. */
export const isExecutable = typeof TRAINLOCK_VERSION === "string";
