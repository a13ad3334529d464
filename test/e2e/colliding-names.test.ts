import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

test("two configurations with one lock name: while one is held, the other fails and names both", async () => {
  const root = await temporaryRoot();
  const one = configuration(root, "a_b", "c");
  const other = configuration(root, "a", "b_c");
  expect(other.kernelLock).toBe(one.kernelLock);
  const holder = await holdWithRun(one.args);

  const run = await trainlock(["run", ...other.args, "--", "echo", "trained"]);

  expect(run).toMatchObject({ exitCode: 3, stdout: "" });
  expect(run.stderr).toMatch(/\ba_b\b.*\bc\b/s);
  expect(run.stderr).toMatch(/\ba\b.*\bb_c\b/s);
  const check = await trainlock(["check", ...other.args]);
  expect(check).toMatchObject({ exitCode: 3, stdout: "" });
  expect(check.stderr).toContain("a_b");
  // And the one that holds goes on undisturbed.
  holder.closeInput();
  expect(await holder.finished).toMatchObject({ exitCode: 0, stderr: "" });
});
