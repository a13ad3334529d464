/** Set by the build. */
declare const TRAINLOCK_VERSION: string;
declare const TRAINLOCK_COMMIT: string;
declare const TRAINLOCK_COMMIT_DATE: string;

/** `trainlock 0.9.0 (commit 3f32010abc, 2026-11-27)`. */
export function versionLine(): string {
  return `trainlock ${TRAINLOCK_VERSION} (commit ${TRAINLOCK_COMMIT}, ${TRAINLOCK_COMMIT_DATE})`;
}
