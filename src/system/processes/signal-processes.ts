import { closeSync } from "node:fs";
import { constants } from "node:os";
import { type ProcessIdentity, readTreeProcess, sameProcess } from "./process-tree.ts";
import { systemCall } from "./system-calls.ts";

/**
 * A signal to each of these processes, and to no later one that got the PID of one: the descriptor is opened first and the
 * start time compared then (pidfd_open(2), pidfd_send_signal(2)). What is gone, or not ours to signal, is left out.
 */
export function signalProcesses(processes: readonly ProcessIdentity[], signal: NodeJS.Signals): void {
  for (const process of processes) signalOne(process, signal);
}

function signalOne(identity: ProcessIdentity, signal: NodeJS.Signals): void {
  // A library on Node has no such calls; there, the comparison alone must do.
  const fd = process.versions.bun === undefined ? -1 : systemCall("pidfd_open", identity.pid, 0);
  try {
    if (!sameProcess(identity, readTreeProcess(identity.pid))) return;
    if (fd >= 0) systemCall("pidfd_send_signal", fd, constants.signals[signal], 0, 0);
    else process.kill(identity.pid, signal);
  } catch {
    // Gone, or not ours to signal.
  } finally {
    if (fd >= 0) closeSync(fd);
  }
}
