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

/** So long the process that appends a line tries to. */
export const writerLifeMs = 30_000;
/** So often it is looked at: soon while somebody waits for it, and then seldom. */
const pollMs = { waitedFor: 3, late: 500 };

/**
 * Appends a line in a process of its own. A call to a file server that does not answer may be one that no signal ends, and a
 * process that is in one cannot exit: this one must not be it. When nobody waits any more (`late`), the other process goes on,
 * also after this one has ended: a file server that many start on at once is slow for a moment, and loses nothing. `program`: the
 * executable trainlock.
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
