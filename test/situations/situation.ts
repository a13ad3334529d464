/** What is true of a staged lock, by how it was staged and nothing else. */
export type Truth =
  /** Something of the training runs. */
  | "living"
  /** Nothing of it runs, and whoever asks can find that out. */
  | "dead"
  /** It may or may not run: those who ask see the same in either case. */
  | "nobody can know"
  /** It has signed off: there is no lock. */
  | "over";

/** One lock somebody meets, and who asks about it. */
export interface Situation {
  readonly says: string;
  readonly truth: Truth;
  /** Lines for bash after `staging.sh`. What holds goes on when it ends, by `rest` or in the background. */
  readonly stage: string;
  /** What the caller of the executable is started by: another user, a container. */
  readonly asks?: readonly string[];
  /** The whole verdict, where more than the truth is promised. */
  readonly shown?: string;
  /** How `run` ends, where that is not told by the truth: 3 for who may not write there. */
  readonly runs?: 3;
  /** What its evidence has to say. */
  readonly evidence?: RegExp;
}

export interface Answers {
  readonly check: number | null;
  readonly run: number | null;
  /** Of each lock of the root. */
  readonly listed: readonly { readonly status: string; readonly label: string; readonly evidence: readonly Said[] }[];
}

export interface Said {
  readonly says: string;
  readonly detail: string;
}

/** What is wrong with the answers, given the truth; empty: nothing. */
export function faultsIn({ truth, runs, shown, evidence }: Situation, { check, run, listed }: Answers): string[] {
  const faults: string[] = [];
  const statuses = listed.map(({ status }) => status);
  const say = (isWrong: boolean, what: string) => {
    if (isWrong) faults.push(what);
  };
  const blocked = truth === "living" || truth === "nobody can know";
  say(check !== (blocked ? 1 : 0), `check exits ${check}`);
  say(run !== (runs ?? (blocked ? 75 : 0)), `run exits ${run}`);
  say(blocked && !statuses.some((status) => status !== "stale"), "list shows nothing that keeps others away");
  say(truth === "living" && statuses.includes("stale"), "list calls the lock of a living training stale");
  say(truth === "dead" && !statuses.includes("stale"), "list does not show it");
  say(truth === "dead" && statuses.some((status) => status !== "stale"), "list does not call it stale");
  say(truth === "over" && statuses.length > 0, "list shows a lock");
  say(truth === "nobody can know" && !listed.some((lock) => lock.evidence.length > 0), "there is no evidence");
  say(shown !== undefined && !listed.some(({ label }) => label === shown), `nothing is shown as ${shown}`);
  const details = listed.flatMap((lock) => lock.evidence.map(({ detail }) => detail)).join("\n");
  say(evidence !== undefined && !evidence.test(details), `no evidence says ${evidence}`);
  if (faults.length > 0) faults.push(...listed.map(({ label }) => `it is ${label}`), details);
  return faults;
}

/** The shortest way to write a table of them. */
export function situation(truth: Truth) {
  return (says: string, stage: string, more: Omit<Situation, "says" | "truth" | "stage"> = {}): Situation => ({
    says,
    truth,
    stage,
    ...more,
  });
}
