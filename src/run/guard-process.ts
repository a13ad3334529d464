import { closeSync, writeSync } from "node:fs";
import type { HeldLock } from "../stores/store.ts";
import { callerEnvironment } from "../system/processes/caller.ts";
import { spawnCommand } from "../system/processes/command-process.ts";
import { noteOwnChild } from "../system/processes/own-children.ts";
import { makePipe } from "../system/processes/pipe.ts";
import type { ProcessIdentity } from "../system/processes/process-tree.ts";

/** The name of the hidden command that {@link startGuard} starts. */
export const guardCommandName = "__guard";

type Guarded = Pick<HeldLock, "token" | "descriptors">;

/** What a guard is told first: how it knows processes of the tree that its wrapper has not told it of. */
export interface GuardedClaim {
  readonly wrapper: number;
  readonly token: string;
}

export interface GuardProcess {
  /** What the tree is now. */
  tell(processes: readonly ProcessIdentity[]): void;
  /** It is not needed any more. */
  dismiss(): void;
}

/**
 * Starts the process that ends a command's tree when this one is killed (`--die-with-wrapper`). It has a session of its own,
 * so that it survives when ours is ended. It holds the lock's descriptors until the tree is gone.
 */
export function startGuard(killAfterMs: number, { token, descriptors: keep }: Guarded): GuardProcess | null {
  const { reads, writes } = makePipe();
  const child = spawnCommand({
    argv: [process.execPath, guardCommandName, String(killAfterMs)],
    environment: callerEnvironment({}),
    keep,
    defaultSignals: [],
    apartWithInput: reads,
  });
  closeSync(reads);
  if (child.kind === "failed") {
    closeSync(writes);
    return null;
  }
  noteOwnChild(child.pid);
  let open = true;
  const write = (line: string) => {
    if (!open) return;
    try {
      writeSync(writes, `${line}\n`);
    } catch {
      // It is gone, or does not read: the next line says all there is to say.
    }
  };
  write(JSON.stringify({ wrapper: process.pid, token } satisfies GuardedClaim));
  return {
    tell: (processes) => write(JSON.stringify(processes.map(({ pid, startTimeTicks }) => [pid, startTimeTicks]))),
    dismiss: () => {
      write("over");
      open = false;
      closeSync(writes);
    },
  };
}
