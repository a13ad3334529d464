import { spawn } from "node:child_process";
import { once } from "node:events";
import { expect, onTestFinished } from "vitest";
import { watchTree } from "../../src/run/watch-tree.ts";
import { commandLineOf, newBelow, readTreeProcess, type TreeProcess } from "../../src/system/processes/process-tree.ts";
import { isCarrier } from "../../src/system/processes/training-processes.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { until } from "../support/until.ts";

const token = "0123456789abcdef0123456789abcdef";

/**
 * A launcher with the claim's variables. For each line that it reads it starts a worker: one that keeps the variables, one without
 * them.
 */
const launcher = `read go; sleep 61 & sleep 62 & echo $!; read go; setsid env -i sleep 63 & echo $!; wait`;

requiresPrograms("setsid")("a process that only a note shows is noted without waiting for the next look", async () => {
  const child = spawn("sh", ["-c", launcher], { env: { PATH: process.env.PATH, TRAINLOCK_TOKEN: token } });
  const pid = child.pid ?? 0;
  const shell = readTreeProcess(pid);
  if (shell === null) throw new Error("did not start");
  let known: readonly TreeProcess[] = [shell];
  onTestFinished(() => {
    for (const each of known)
      if (readTreeProcess(each.pid)?.startTimeTicks === each.startTimeTicks) process.kill(each.pid);
  });
  const noted: string[][] = [];
  // Its looks show the launcher alone, so that what is noted beyond that was found between them.
  const stop = watchTree(
    {
      living: () => [shell],
      known: () => known,
      begun: () => {
        const begun = newBelow(
          known.map((each) => each.pid),
          () => false,
        );
        known = [...known, ...begun];
        return begun;
      },
    },
    { leavesTrace: (each) => isCarrier(each, token), holdsLock: () => true },
    (living) => noted.push(living.map(commandLineOf).slice(1)),
  );
  onTestFinished(stop);
  await until("a look", () => (noted.length > 0 ? true : null));
  child.stdin.write("go\n");
  await once(child.stdout, "data");
  child.stdin.write("go\n");
  await once(child.stdout, "data");
  await until("a note of the worker without variables", () =>
    noted.flat().some((line) => line === "sleep 63") ? true : null,
  );
  const [first] = noted.filter((lines) => lines.length > 0);
  expect(first?.sort()).toEqual(["sleep 61", "sleep 62", "sleep 63"]);
});
