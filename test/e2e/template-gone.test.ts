import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

test("a lock of a configuration that no template is for any more is listed by its file, and hides no other", async () => {
  const of = configuration(await temporaryRoot());
  await holdWithRun(of.args);
  const other = [...of.args, "--stage", "2"];
  writeFileSync(
    join(of.root, "trainlock.yaml"),
    'weights:\n  - { path: "W_{stage|bare}/{strategy}/{dataset}/{model}{ratio}{aux_loss}", when: { stage: given } }\n',
  );
  await holdWithRun(other);
  const call = (...args: string[]) => trainlock([...args, "--root", of.root, "--scheduler", "none"]);
  const list = await call("list", "--fcntl-only");
  expect(list).toMatchObject({ exitCode: 0, stderr: "" });
  expect(list.stdout.match(/^ {2}- \S+ \[ACTIVE\]$/gm)).toHaveLength(2);
  const clear = await call("clear", "--fcntl-only");
  expect(clear).toMatchObject({ exitCode: 0, stdout: "No stale locks found\n" });
  const plan = await call("plan");
  expect(plan.exitCode).toBe(3);
  expect(plan.stdout).toMatch(/^running {2}\S+ \(stage 2\) .*\n\nNext: .*\n1 configuration: 1 running /);
  expect(plan.stderr).toMatch(/^trainlock: .*\.lock: no weights template is for strategy .*; it is left out$/m);
  expect((await trainlock(["check", ...of.args])).exitCode).not.toBe(0);
});
