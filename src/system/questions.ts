/** What a program or a server was asked, and what it said. */
export interface Question {
  /** A command line, or the method and the address of a request. */
  readonly asked: readonly string[];
  /** How it ended: `exit code 0`. */
  readonly ended: string;
  readonly tookMs: number;
  /** Standard output and standard error, or nothing where they may have secrets. */
  readonly said: readonly string[];
  /** Which process of ours has asked, if not this one. */
  readonly by?: string;
}

/** For `--debug`: who looks at the questions of this process is the one thing about it that all its parts have in common. */
let listener: ((question: Question) => void) | null = null;

export function listenToQuestions(onQuestion: (question: Question) => void): void {
  listener = onQuestion;
}

export function isAnybodyListening(): boolean {
  return listener !== null;
}

/** What another process of ours has asked. */
export function passOnQuestion(question: Question): void {
  listener?.(question);
}

/** `since` is of `performance.now()`. */
export function tellQuestion(since: number, question: Omit<Question, "tookMs">): void {
  listener?.({ ...question, tookMs: performance.now() - since });
}
