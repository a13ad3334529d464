import { existsSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

test("neither .env nor bunfig.toml of the folder it is started in changes anything", async () => {
  const cwd = await temporaryRoot();
  const of = configuration(await temporaryRoot());
  const loaded = join(cwd, "loaded");
  await holdWithRun(of.args);
  for (const name of [".env", ".env.local", ".env.production", ".env.development"]) {
    await writeFile(join(cwd, name), `TRAINLOCK_ROOT=${of.root}\nAWARE_DATA_ROOT=${of.root}\nMINE=from-file\n`);
  }
  await writeFile(join(cwd, "bunfig.toml"), 'preload = ["./preload.ts"]\n[run]\npreload = ["./preload.ts"]\n');
  await writeFile(join(cwd, "preload.ts"), `require("node:fs").writeFileSync(${JSON.stringify(loaded)}, "");\n`);

  expect(await trainlock(["list"], { cwd })).toMatchObject({ exitCode: 2, stdout: "" });
  const elsewhere = configuration(await temporaryRoot());
  const run = await trainlock(["run", ...elsewhere.args, "--", "sh", "-c", 'echo "[$MINE]"'], { cwd });
  expect(run).toMatchObject({ exitCode: 0, stdout: "[]\n" });
  expect(existsSync(loaded)).toBe(false);
});

test("a relative root is one of the folder it is started in", async () => {
  const of = configuration(await temporaryRoot());
  await holdWithRun(of.args);
  const args = ["check", "--root", ".", ...of.args.slice(2)];
  expect(await trainlock(args, { cwd: of.root })).toMatchObject({ exitCode: 1 });
});
