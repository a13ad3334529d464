import { spawn } from "node:child_process";
import * as v from "valibot";
import { EnvironmentError, messageOf } from "../model/errors.ts";
import { parseJson } from "../model/parse-json.ts";
import { readRunEnds } from "../model/run-ends.ts";
import { openLayout } from "../site/open-site.ts";
import { rootArguments } from "../site/root.ts";
import { openStore } from "../stores/open-store.ts";
import type { ClaimOutcome, HeldLock } from "../stores/store.ts";
import { sleep } from "../system/clock/sleep.ts";
import type { LineSocket } from "../system/processes/line-socket.ts";
import { startTimeTicksOf } from "../system/processes/process-table.ts";
import { readLines } from "../system/processes/read-lines.ts";
import { schedulerJob } from "../system/processes/scheduler-job.ts";
import { outliveJob } from "../system/processes/signals.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { trainingProcesses } from "../system/processes/training-processes.ts";
import { busyAnswer, claimAnswer } from "./acquire.ts";
import { type Answer, configurationIn, examineFor, refusal, writeLine } from "./answer.ts";
import { ClaimHistory } from "./claim-history.ts";
import { parseRequest, protocolVersion, type RequestOf } from "./messages.ts";
import { settledRow } from "./settled-row.ts";

const lookAgainMs = 1000;

/**
 * Starts the process that keeps a claim in a store for the calling program, on the same socket and in a session of its own. Its
 * parent is this process, which ends: the program has no child that it would have to collect.
 */
export function startPythonKeeper(): void {
  const keeper = spawn(process.execPath, ["__python-keeper"], {
    detached: true,
    stdio: ["inherit", "inherit", "ignore"],
    // Whether the program is inside of a claim has been settled; this process is above nobody.
    env: { ...process.env, TRAINLOCK_TOKEN: "" },
  });
  keeper.unref();
  writeLine({ say: "again" });
}

/** A keeper's whole life: one attempt at the claim, and then it keeps it for as long as the program's end of the socket is open. */
export async function keepForPython(socket: LineSocket, version: string): Promise<void> {
  outliveJob();
  const line = socket.receive()?.line ?? "";
  const request = parseRequest(line);
  if (request?.do !== "acquire") return;
  const tell = (answer: Answer) => writeLine({ ...answer, protocol: protocolVersion, version, token: request.token });
  try {
    const kept = await acquire(request, tell);
    if (kept !== null) await keep(kept);
  } catch (error) {
    tell(refusal(error));
  }
}

interface KeptLock {
  readonly lock: HeldLock;
  readonly history: ClaimHistory;
}

async function acquire(request: RequestOf<"acquire">, tell: (answer: Answer) => void): Promise<KeptLock | null> {
  const { pid, command, token } = request;
  const layout = openLayout(
    { root: request.root ?? undefined, lockDir: request.lock_dir ?? undefined },
    process.env,
    rootArguments.python,
  );
  const configuration = configurationIn(layout, request.configuration);
  const startTimeTicks = startTimeTicksOf(pid);
  if (startTimeTicks === null)
    throw new EnvironmentError(`process ${pid} has ended`, { code: "ERR_CALLER", hint: "its lock goes with it" });
  process.chdir("/");
  const notes: string[] = [];
  const owner = { pid, startTimeTicks };
  const history = new ClaimHistory(layout, configuration, request, (text) => notes.push(text));
  const store = await openStore(layout, examineFor(layout), { guard: null, owner, onNote: (text) => notes.push(text) });
  const acquisition = await store.acquire(configuration, command, token);
  const place = {
    name: layout.displayName(configuration),
    lock_file: layout.kernelLockPath(configuration),
    weights_dir: layout.weightsDir(configuration),
    local: true,
    notes,
  };
  if (acquisition.kind === "busy") {
    history.refused(acquisition.busy);
    await history.written();
    tell({ ...busyAnswer(acquisition.busy), ...place, kernel_lock: false, store: true });
    return null;
  }
  const { lock } = acquisition;
  const { endsNow, told } = claimAnswer(layout, configuration, lock, command);
  await lock.recordChild(pid, endsNow);
  const settled = await settledRow(layout, configuration, request.row, endsNow);
  if (settled === null) {
    history.claimed(lock, lock.earlier, endsNow);
    await history.written();
  }
  tell({
    say: "kept",
    ...place,
    ...told,
    settled,
    claim_token: lock.token,
    address: lock.address,
    keeper_pid: process.pid,
  });
  return { lock, history };
}

const order = v.variant("do", [
  v.object({ do: v.literal("assert") }),
  v.object({ do: v.literal("release"), exit_code: v.nullable(v.pipe(v.number(), v.safeInteger())), ends: v.unknown() }),
]);

/** Obeys the program until it releases the claim or its end of the socket is closed, by it and by its forked workers. */
async function keep({ lock, history }: KeptLock): Promise<void> {
  const onLost = () => {
    const why = messageOf(lock.lost.reason);
    history.lost(why);
    writeIfHeard({ say: "lost", why });
  };
  if (lock.lost.aborted) onLost();
  else lock.lost.addEventListener("abort", onLost, { once: true });
  let released = false;
  let turn: Promise<void> = Promise.resolve();
  await new Promise<void>((resolve) => {
    const obey = async (line: string) => {
      const request = v.safeParse(order, parseJson(line));
      if (!request.success || released) return;
      const { output } = request;
      if (output.do === "assert") {
        const why = await lock.assertHeld().then(() => null, messageOf);
        return writeIfHeard(why === null ? { say: "held" } : { say: "not held", why, lost: lock.lost.aborted });
      }
      released = true;
      const ends = readRunEnds(output.ends);
      const outcome: ClaimOutcome = { exitCode: output.exit_code, ...(ends === null ? {} : { ends }) };
      const why = await lock.release(outcome).then(() => null, messageOf);
      writeIfHeard({ say: "released", why });
      history.ended(ends);
      resolve();
    };
    readLines(
      process.stdin,
      (line) => {
        turn = turn.then(() => obey(line));
      },
      () => void turn.then(resolve),
    );
  });
  if (!released) {
    await outlast(lock.token);
    await lock.release();
  }
  await history.written();
}

/** What the program has started without the socket goes on after it was killed: as long as it is seen to live here. */
async function outlast(token: string): Promise<void> {
  const { bootId, pidNamespace } = thisHost();
  const scheduler = schedulerJob(process.env);
  while (trainingProcesses({ token, bootId, pidNamespace, scheduler }, null).length > 0) await sleep(lookAgainMs);
}

/** The program may be gone. */
function writeIfHeard(message: Readonly<Record<string, unknown>>): void {
  try {
    writeLine(message);
  } catch {
    // Its end is noticed by the reader.
  }
}
