/** `warning`: works, with a limit to know. `fault`: locks cannot be relied upon, or not be had. */
export type FindingLevel = "ok" | "warning" | "fault";

/** What was found out about one thing, what it means for the user, and what to do. */
export interface Finding {
  /** What was looked at: `flock between processes`. */
  readonly check: string;
  /** Where: a folder, a host. */
  readonly subject: string;
  readonly level: FindingLevel;
  readonly found: string;
  readonly means: string | null;
  readonly remedy: string | null;
}

/** A finding before anybody said where it was made. */
export type Outcome = Omit<Finding, "check" | "subject">;

export function ok(found: string): Outcome {
  return { level: "ok", found, means: null, remedy: null };
}

export function warning(found: string, means: string, remedy: string | null = null): Outcome {
  return { level: "warning", found, means, remedy };
}

export function fault(found: string, means: string, remedy: string | null = null): Outcome {
  return { level: "fault", found, means, remedy };
}
