import { mkdirSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, holdWithRun, trainlock } from "../support/trainlock.ts";
import { runtimes } from "./library-program.ts";

const library = resolve("dist/lib/index.js");

for (const [name, runtime] of Object.entries(runtimes))
  test(`${name}: the functions mean what their namesakes in Python meant`, async () => {
    const root = await temporaryRoot();
    const held = configuration(root);
    await holdWithRun(held.args);
    // A run that has ended leaves its lock file in place.
    const ended = configuration(root, "ended");
    await trainlock(["run", ...ended.args, "--", "true"]);
    mkdirSync(held.lockDir, { recursive: true });
    writeFileSync(`${held.lockDir}/left_over.lock`, "");
    const program = `
      import { listActiveLocks, listAllLocks, listWeightsDirLocks, preflightCheck } from ${JSON.stringify(library)};
      const options = { root: ${JSON.stringify(root)} };
      const names = (locks) => locks.map(({ kind, name }) => kind + " " + name);
      const of = { strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50" };
      const free = { ...of, strategy: "ended" };
      console.log(JSON.stringify({
        active: names(await listActiveLocks(options)),
        markers: names(await listWeightsDirLocks(options)),
        all: names(await listAllLocks(options)),
        checks: [await preflightCheck({ ...options, ...of }), await preflightCheck({ ...options, ...free })],
      }));`;
    const { stdout, stderr } = await finish(runtime, ["--input-type=module", "-e", program], { env: environment() });
    const check = await trainlock(["check", ...held.args]);
    expect(JSON.parse(stdout)).toEqual({
      active: [`fcntl ${held.name}`],
      markers: [`file ${held.name}`],
      all: [`file ${held.name}`, `fcntl ${held.name}`],
      checks: [false, true],
    });
    expect(stderr).toBe(check.stderr);
  });

test.each(Object.entries(runtimes))("%s: without a root it says how a program names it", async (_, runtime) => {
  const program = `
    import { listAllLocks, TrainingLock } from ${JSON.stringify(library)};
    const of = { strategy: "baseline", dataset: "IDD-AW", model: "m" };
    for (const call of [() => listAllLocks(), () => new TrainingLock(of).acquire()])
      try { await call(); console.log("no error"); } catch (error) { console.log(error.message); }`;
  const { stdout } = await finish(runtime, ["--input-type=module", "-e", program], { env: environment() });
  const said = "no root: give { root: DIR } or set one of TRAINLOCK_ROOT, AWARE_DATA_ROOT, PROVE_ROOT";
  expect(stdout).toBe(`${said}\n${said}\n`);
});
