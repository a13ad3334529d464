import { foregroundGroup, ignoreSignal, ownGroup, setForegroundGroup } from "./command-process.ts";
import { groupMembers } from "./process-group.ts";
import { signalNumber } from "./signals.ts";

/** The controlling terminal, which belongs to one process group at a time: credentials(7), tcsetpgrp(3). */
export interface Terminal {
  /**
   * Whether input and output both are the terminal. In a pipeline (`… | less`) they are not: there, another process of our
   * group may need it, and the command gets it when it asks.
   */
  readonly interactive: boolean;
  /** Whether nobody else is in our process group: make, a script, a second `run`. Ctrl-C is for them as well. */
  isOursAlone(): boolean;
  isLentTo(group: number): boolean;
  /** False when it is not ours to lend: we run in the background. */
  lend(group: number): boolean;
  reclaim(group: number): void;
}

/** Null where none of the standard streams leads to our controlling terminal. */
export function controllingTerminal(): Terminal | null {
  const ours = [0, 1, 2].filter((fd) => foregroundGroup(fd) !== null);
  const fd = ours[0];
  if (fd === undefined) return null;
  // Handing the terminal over from the background stops the caller otherwise.
  ignoreSignal(signalNumber("SIGTTOU"));
  const isLentTo = (group: number) => foregroundGroup(fd) === group;
  return {
    interactive: ours.includes(0) && ours.includes(1),
    isOursAlone: () => groupMembers(ownGroup()).every(({ pid }) => pid === process.pid),
    isLentTo,
    lend: (group) => {
      if (isLentTo(group)) return true;
      if (foregroundGroup(fd) !== ownGroup()) return false;
      setForegroundGroup(fd, group);
      return true;
    },
    reclaim: (group) => {
      if (isLentTo(group)) setForegroundGroup(fd, ownGroup());
    },
  };
}
