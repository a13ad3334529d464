import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { sshFailure } from "../evidence/remote/ask-host.ts";
import { messageOf } from "../model/errors.ts";
import { fault, type Outcome, ok } from "../model/finding.ts";
import { shellWord } from "../model/shell-word.ts";
import type { ProvedHost } from "../site/lock-scope.ts";
import { findMount, parseMountInfo } from "../system/files/mount-table.ts";
import { makeScratch } from "../system/files/scratch.ts";
import type { LockPrimitive } from "../system/libc/flock.ts";
import { firstLine, type ProgramAnswer, runProgram } from "../system/processes/run-program.ts";
import { randomHex } from "../system/random.ts";
import { holdByProgram, holdInChild } from "./lock-holder.ts";
import type { RemoteShell } from "./remote-shell.ts";

export interface HostTrial {
  readonly reach: Outcome;
  /** Null: the host could not be asked. */
  readonly locks: Outcome | null;
  readonly proved: { readonly host: ProvedHost; readonly excludes: boolean } | null;
}

/** What flock(1) ends with when the lock is another's; no code of its own or of ssh's. */
const busyCode = 75;

/** Takes one lock here and asks for it there, and the other way round: nothing else proves that locks reach a host. */
export async function tryHost(
  shell: RemoteShell,
  lockDir: string,
  primitive: LockPrimitive,
  timeoutMs: number,
): Promise<HostTrial> {
  return withLockFile(shell, lockDir, timeoutMs, async ({ path, token, run, seen, identity }) => {
    if (identity === null || identity.token !== token)
      return { reach: unreached(shell, seen, identity), locks: null, proved: null };
    const reach = ok(
      `by ${shell.how}: ${identity.host.hostname}, ${identity.host.file_system} from ${identity.host.source}`,
    );
    if (primitive !== "flock")
      return {
        reach,
        locks: fault("only flock can be tried on another host", "nothing is proved about ofd"),
        proved: null,
      };
    const there = await heldHere(path, run);
    const here = await heldThere(shell, path, timeoutMs);
    const locks = verdictOn(there, here);
    const settled = typeof there === "string" && typeof here === "string";
    return {
      reach,
      locks,
      proved: settled ? { host: identity.host, excludes: there === "busy" && here === "busy" } : null,
    };
  });
}

/** A host on which flock is refused as it is here; null: it is not, or the host could not be asked. */
export async function refusingHost(shell: RemoteShell, lockDir: string, timeoutMs: number): Promise<ProvedHost | null> {
  return withLockFile(shell, lockDir, timeoutMs, async ({ path, token, run, identity }) => {
    const answer = await run(`LC_ALL=C flock -x -n ${shellWord(path)} true`);
    // What flock(1) says of ENOSYS and EOPNOTSUPP.
    const refused = answer.kind === "ended" && /not implemented|not supported/.test(answer.stderr);
    return identity?.token === token && refused ? identity.host : null;
  });
}

interface SeenFile {
  readonly path: string;
  /** What this host has written into the file. */
  readonly token: string;
  readonly run: (line: string) => Promise<ProgramAnswer>;
  /** What the other host answered when it was asked about itself and the file; and that read, null: it cannot be. */
  readonly seen: ProgramAnswer;
  readonly identity: ReturnType<typeof parseIdentity>;
}

/** Makes a file to lock, asks the host about it, and calls `work`. Then the file is removed. */
async function withLockFile<T>(
  shell: RemoteShell,
  lockDir: string,
  timeoutMs: number,
  work: (file: SeenFile) => Promise<T>,
): Promise<T> {
  const scratch = makeScratch(lockDir);
  try {
    const path = join(scratch, "lock");
    const token = randomHex(8);
    writeFileSync(path, token);
    const run = (line: string) => runProgram({ argv: shell.argv(line), timeoutMs });
    const seen = await run(identityScript(path));
    const identity = seen.kind === "ended" ? parseIdentity(seen.stdout, path) : null;
    return await work({ path, token, run, seen, identity });
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

type Answer = "busy" | "locked" | Failure;

interface Failure {
  /** In the program's own words. */
  readonly failed: string;
}

async function heldHere(path: string, run: (line: string) => Promise<ProgramAnswer>): Promise<Answer> {
  const holder = await holdInChild("flock", path);
  try {
    const answer = await run(`flock -x -n -E ${busyCode} ${shellWord(path)} true`);
    return answerOf(answer);
  } finally {
    await holder.release();
  }
}

/** What flock(1) found. */
function answerOf(answer: ProgramAnswer): Answer {
  if (answer.kind === "late") return { failed: "no answer in time" };
  if (answer.kind !== "ended") return { failed: "flock cannot be started" };
  if (answer.exitCode === busyCode) return "busy";
  return answer.exitCode === 0 ? "locked" : { failed: firstLine(answer.stderr) };
}

async function heldThere(shell: RemoteShell, path: string, timeoutMs: number): Promise<Answer> {
  const line = `flock -x -n ${shellWord(path)} sh -c 'echo HELD; read -r _ && echo THERE; cat >/dev/null'`;
  const late = new Promise<Failure>((resolve) =>
    setTimeout(() => resolve({ failed: "no answer in time" }), timeoutMs).unref(),
  );
  const held = holdByProgram(shell.argv(line)).catch((error: unknown) => ({ failed: messageOf(error) }));
  const holder = await Promise.race([held, late]);
  if ("failed" in holder) return holder;
  try {
    const answer = await runProgram({ argv: ["flock", "-x", "-n", "-E", String(busyCode), path, "true"], timeoutMs });
    // A launcher that gives its command no input ends the holder at once.
    if ((await Promise.race([holder.isThere(), late])) !== true) return { failed: "the holder ended by itself" };
    return answerOf(answer);
  } finally {
    await holder.release();
  }
}

function verdictOn(there: Answer, here: Answer): Outcome {
  if (there === "busy" && here === "busy") return ok("what is locked here is busy there, and the other way round");
  if (typeof there !== "string" || typeof here !== "string") {
    const [what, { failed }] = typeof there !== "string" ? ["asking for", there] : ["holding", here as Failure];
    return fault(
      `${what} the lock there failed: ${failed}`,
      "nothing is proved about this host",
      "is flock(1) there, and may the user write the lock dir?",
    );
  }
  const means = "kernel locks stay on each host: between hosts only the marker excludes, and may be left behind";
  return fault(
    there === "locked" ? "took a lock that is held here" : "holds a lock that was taken here as well",
    means,
    "mount it with cluster-wide locks, or see `trainlock help file-systems` about lock_primitive",
  );
}

function identityScript(path: string): string {
  return `cat /proc/sys/kernel/random/boot_id; hostname; cat ${shellWord(path)}; echo; cat /proc/self/mountinfo`;
}

function parseIdentity(text: string, path: string): { host: ProvedHost; token: string } | null {
  const [bootId = "", hostname = "", token = "", ...table] = text.split("\n");
  if (!/^[0-9a-f-]{36}$/.test(bootId)) return null;
  const mount = findMount(parseMountInfo(table.join("\n")), path, null);
  return {
    token,
    host: {
      hostname,
      boot_id: bootId,
      mount_id: mount?.mountId ?? -1,
      file_system: mount?.fileSystem ?? "unknown",
      source: mount?.source ?? "unknown",
    },
  };
}

function unreached(shell: RemoteShell, answer: ProgramAnswer, identity: { host: ProvedHost } | null): Outcome {
  if (identity !== null) {
    const means = "jobs there lock other files than jobs here";
    return fault("does not see the file that was just written here", means, "mount the root there at the same path");
  }
  const why =
    answer.kind === "ended"
      ? sshFailure(answer.exitCode, answer.stderr)
      : answer.kind === "late"
        ? "did not answer in time"
        : `cannot be asked: ${shell.how} is not there`;
  const means = "processes there cannot be asked for, and nothing is proved about its locks";
  return fault(why, means, "ssh to it by a key, without a question: ssh -o BatchMode=yes");
}
