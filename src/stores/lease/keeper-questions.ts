import { listenToQuestions, type Question } from "../../system/questions.ts";
import type { Report } from "./keeper-messages.ts";

/** Of one report, and that wait for the next: two reports fit into a pipe that nobody reads. */
const mostQuestions = 20;
const mostCharacters = 400;

/**
 * Reports what the keeper has asked etcd, for `--debug` of its wrapper. As with `alive`, the next report waits until the last one
 * was read: a wrapper that is stopped reads none, and a full pipe would stop the renewals. What is too much is left out.
 */
export class KeeperQuestions {
  readonly #say: (report: Report) => void;
  readonly #waiting: Question[] = [];
  #mayReport = true;

  constructor(say: (report: Report) => void) {
    this.#say = say;
    listenToQuestions((question) => {
      if (this.#waiting.length < mostQuestions) this.#waiting.push(shortened(question));
      if (this.#mayReport) this.report();
    });
  }

  /** Also before the answer to a wrapper that is about to end. */
  report(): void {
    if (this.#waiting.length === 0) return;
    this.#mayReport = false;
    this.#say({ say: "asked", questions: this.#waiting.splice(0) });
  }

  /** The last report was read. */
  wasRead(): void {
    this.#mayReport = true;
    this.report();
  }
}

function shortened({ said, ...question }: Question): Question {
  return { ...question, said: said.slice(0, 1).map((text) => text.slice(0, mostCharacters)), by: "lease keeper" };
}
