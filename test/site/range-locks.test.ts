import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, holdWithRun, trainlock } from "../support/trainlock.ts";

async function site() {
  const root = await temporaryRoot();
  writeFileSync(join(root, "trainlock.yaml"), "lock_primitive: ofd\n");
  return configuration(root);
}

test("with lock_primitive: ofd runs exclude each other, and the end of one lets the next in", async () => {
  const of = await site();
  const holder = await holdWithRun(of.args);
  expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
  const { locks } = JSON.parse((await trainlock(["list", "--root", of.root, "--json"])).stdout);
  expect(locks.map(({ status }: { status: string }) => status)).toEqual(["active", "active"]);
  holder.closeInput();
  await holder.finished;
  expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
});

test("a command keeps the byte-range lock when its wrapper is killed", async () => {
  const of = await site();
  const holder = await holdWithLastingCommand(of.args);
  holder.kill("SIGKILL");
  await holder.finished;
  expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
});
