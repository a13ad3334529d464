import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { startTrainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

test("of 50 runs of one configuration started together, one executes its command and 49 exit 75", async () => {
  const root = await temporaryRoot();
  const of = configuration(root);
  const executed = join(root, "executed");
  await writeFile(executed, "");
  // The command ends when told to, so that none of the others finds the lock free again.
  const command = ["sh", "-c", `echo "$$" >>"${executed}"; exec cat >/dev/null`];

  const started = performance.now();
  const runs = Array.from({ length: 50 }, () => startTrainlock(["run", ...of.args, "--", ...command]));
  let ended = 0;
  for (const run of runs) run.finished.then(() => ended++);
  await until(
    "50 runs that have either executed or ended",
    async () => {
      const executing = (await readFile(executed, "utf8")).split("\n").length - 1;
      return executing + ended >= 50 ? true : null;
    },
    25_000,
  );
  console.log(`50 runs started together: ${Math.round(performance.now() - started)} ms until 49 were turned away`);
  for (const run of runs) run.closeInput();
  const results = await Promise.all(runs.map((run) => run.finished));

  expect((await readFile(executed, "utf8")).split("\n")).toHaveLength(2);
  expect(results.filter(({ exitCode }) => exitCode === 0)).toHaveLength(1);
  const turnedAway = results.filter(({ exitCode }) => exitCode === 75);
  expect(turnedAway).toHaveLength(49);
  // Fifty at once on a busy machine: the history may say that its folder was slow.
  const told = turnedAway.map(({ stderr }) => stderr.replace(/^trainlock: the history is not complete: .*\n/, ""));
  for (const text of told) expect(text).toMatch(/^SKIP: Another job .*is already training this model\n$/);
});
