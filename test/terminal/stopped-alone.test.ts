import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

/** A shell with job control, so that its job is a process group that can be stopped. The job is a script with two trainings. */
const script = `set -m
( $RUN --model one -- sh -c 'echo "first $TRAINLOCK_PID"; exec sleep 60' & first=$!
  $RUN --model two -- sh -c 'echo second; until [ -e "$AT/go" ]; do sleep 0.05; done' & wait $!; echo "second ended $?"
  wait $first; echo "first ended $?" ) &
wait`;

const stateOf = (pid: number) => /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];

requiresPrograms("bash")("`kill -TSTP` of one run stops nobody beside it, and the run goes on at SIGCONT", async () => {
  const root = await temporaryRoot();
  const RUN = `${executable} run --root ${root} --strategy s --dataset d`;
  const shell = startProcess("bash", ["-c", script], { env: environment({ RUN, AT: root }), timeoutMs: 60_000 });
  for (const said of ["first ", "second\n"]) await shell.waitFor(said);
  const wrapper = Number(/first (\d+)\n/.exec(shell.stdout())?.[1]);
  process.kill(wrapper, "SIGTSTP");
  await until("the wrapper to be stopped", () => (stateOf(wrapper) === "T" ? true : null));
  writeFileSync(join(root, "go"), "");
  await shell.waitFor("second ended 0\n");
  expect(stateOf(wrapper)).toBe("T");
  process.kill(wrapper, "SIGCONT");
  process.kill(wrapper, "SIGTERM");
  await shell.waitFor("first ended 143\n");
});
