import type { End } from "../model/run-ends.ts";
import type { Ending } from "../system/processes/command-process.ts";
import { signalName } from "../system/processes/signals.ts";

/** What is known of the end of a command. */
export interface EndFacts {
  readonly ending: Ending;
  /** The lock was lost under it. */
  readonly lost: boolean;
  /** A signal that stops trainings was passed on to it. */
  readonly stopSignal: NodeJS.Signals | null;
  /** It had the terminal, whose keys and whose end send signals past us. */
  readonly hadTerminal: boolean;
}

/** Whether the done rule holds now; `null` where there is none of that kind. */
export interface RuleNow {
  readonly when: boolean | null;
  /** Of pattern and done file together. */
  readonly any: boolean | null;
}

const terminalSignals: ReadonlySet<string> = new Set(["SIGINT", "SIGQUIT", "SIGHUP"]);
const codeOfInterrupt = 130;

/**
 * How a run ended: the table in docs/history.md. `rule` is asked only where it decides; null: it cannot be looked at. Then exit
 * code 0 is no end that counts, and null is returned.
 */
export async function endOf(facts: EndFacts, rule: () => Promise<RuleNow | null>): Promise<End | null> {
  const { ending, lost, stopSignal } = facts;
  if (lost || stoppedByTerminal(facts)) return "interrupted";
  const endedWell = ending.kind === "exited" && ending.code === 0;
  if (stopSignal !== null) return endedWell && (await rule())?.when === true ? "done" : "interrupted";
  if (!endedWell) return "failed";
  const now = await rule();
  if (now === null) return null;
  return now.any === false ? "failed" : "done";
}

function stoppedByTerminal({ ending, hadTerminal }: EndFacts): boolean {
  if (!hadTerminal) return false;
  return ending.kind === "exited" ? ending.code === codeOfInterrupt : terminalSignals.has(signalName(ending.signal));
}
