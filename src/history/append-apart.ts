import { closeSync, openSync, writeSync } from "node:fs";
import { findMount, mountTable } from "../system/files/mount-table.ts";
import { scopeOf } from "../system/files/mounts.ts";
import { errnoName, systemError } from "../system/libc/errno.ts";
import { callerEnvironment } from "../system/processes/caller.ts";
import { pollChild, spawnCommand } from "../system/processes/command-process.ts";
import { noteOwnChild } from "../system/processes/own-children.ts";
import { makePipe } from "../system/processes/pipe.ts";

/** The name of the hidden command that appends a line. */
const noteCommandName = "__note";

/** What that command is told on its standard input. */
export interface Note {
  readonly path: string;
  readonly line: string;
  readonly once: readonly string[] | null;
}

/** Whether a file lies on this host's own disk, by the table of mounts alone: the file system itself is not asked. */
export function isOnOwnDisk(path: string): boolean {
  const mount = findMount(mountTable(), path, null);
  return mount !== null && scopeOf(mount).shared === false;
}

/** How long the process tries to append its line. */
export const writerLifeMs = 30_000;
/** How often we look whether it has ended: often while somebody waits for it, seldom after that. */
const pollMs = { waitedFor: 3, late: 500 };

/**
 * Appends a line in a process of its own. If a file server does not answer, perhaps no signal ends a call to it, and the
 * calling process cannot exit. That must not be this process. When nobody waits any more (`late`), the other process goes on,
 * also after this one has ended. So nothing is lost if the file server is slow for a moment because many jobs start at once.
 * `program`: the executable trainlock.
 */
export async function appendApart(note: Note, late: AbortSignal, program: string): Promise<"done"> {
  const pid = startWriter(note, program);
  for (;;) {
    const change = pollChild(pid);
    if (change.kind === "exited" && change.code === 0) return "done";
    if (change.kind === "exited") throw systemError("append to", note.path, errnoName(change.code));
    if (change.kind === "signalled") throw systemError("append to", note.path, "EINTR");
    // No reason for this process to stay.
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, late.aborted ? pollMs.late : pollMs.waitedFor);
      if (late.aborted) timer.unref();
    });
  }
}

function startWriter(note: Note, program: string): number {
  const nowhere = openSync("/dev/null", "w");
  const { reads, writes } = makePipe();
  try {
    const child = spawnCommand({
      argv: [program, noteCommandName],
      environment: callerEnvironment({}),
      keep: [],
      defaultSignals: [],
      apartWithInput: reads,
      // Whoever reads our output must not wait for it.
      descriptors: [
        [nowhere, 1],
        [nowhere, 2],
      ],
    });
    if (child.kind === "failed") throw systemError("start", noteCommandName, errnoName(child.errno));
    noteOwnChild(child.pid);
    // Far less than a pipe holds.
    writeSync(writes, JSON.stringify(note));
    return child.pid;
  } finally {
    for (const fd of [nowhere, reads, writes]) closeSync(fd);
  }
}
