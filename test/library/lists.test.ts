import { existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { deadPid } from "../support/process-state.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, holdWithRun, killWithCommand, trainlock } from "../support/trainlock.ts";
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

for (const [name, runtime] of Object.entries(runtimes))
  test(`${name}: what could not be looked into is told, or warned of`, async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    writeFileSync(of.lockDir, "");
    mkdirSync(`${root}/WEIGHTS`);
    symlinkSync(await temporaryRoot(), `${root}/WEIGHTS/elsewhere`);
    const program = `
      import { listAllLocks } from ${JSON.stringify(library)};
      const root = ${JSON.stringify(root)};
      const told = [];
      console.log((await listAllLocks({ root, onUnreadable: (path) => told.push(path) })).length, told.sort().join(" "));
      console.log((await listAllLocks({ root })).length);`;
    const { stdout, stderr } = await finish(runtime, ["--input-type=module", "-e", program], { env: environment() });
    expect(stdout).toBe(`0 ${root}/WEIGHTS/elsewhere ${of.lockDir}\n0\n`);
    expect(stderr).toMatch(/TrainlockWarning: cannot look into \S+training_locks: .*; its locks are not listed/);
    expect(stderr).toMatch(/TrainlockWarning: cannot look into \S+elsewhere: it is a link, and is not followed;/);
  });

const onOneHost = requiresPrograms("a local file system and the initial PID namespace");

for (const [name, runtime] of Object.entries(runtimes))
  onOneHost(`${name}: both functions that clear only show it unless told, and leave each other's kind`, async () => {
    const root = await temporaryRoot();
    const held = configuration(root);
    await holdWithRun(held.args);
    const killed = configuration(root, "killed");
    await killWithCommand(await holdWithRun(killed.args));
    const program = `
      import { clearStaleFileLocks, clearStaleLocks, isPidRunning } from ${JSON.stringify(library)};
      const root = ${JSON.stringify(root)};
      const paths = ({ removed }) => removed.map(({ path }) => path);
      const pids = [process.pid, 1, ${deadPid}, 0, -1, 1.5, NaN];
      if (process.argv[2] === "look") console.log(JSON.stringify([
        paths(await clearStaleLocks({ root })), paths(await clearStaleFileLocks({ root })), pids.map(isPidRunning),
      ]));
      else console.log(JSON.stringify(paths(await (process.argv[2] === "file" ? clearStaleFileLocks : clearStaleLocks)({ root, dryRun: false }))));`;
    const path = resolve(root, "program.mjs");
    writeFileSync(path, program);
    const call = async (what: string) => {
      const { stdout, stderr } = await finish(runtime, [path, what], { env: environment() });
      expect(stderr).toBe("");
      return JSON.parse(stdout);
    };
    const left = () => [killed.kernelLock, killed.marker].map((file) => existsSync(file));
    const running = [true, true, false, false, false, false, false];
    expect(await call("look")).toEqual([[killed.kernelLock], [killed.marker], running]);
    expect(left()).toEqual([true, true]);
    expect(await call("file")).toEqual([killed.marker]);
    expect(left()).toEqual([true, false]);
    expect(await call("kernel")).toEqual([killed.kernelLock]);
    expect([held.kernelLock, held.marker].map((file) => existsSync(file))).toEqual([true, true]);
    expect(await trainlock(["check", ...held.args])).toMatchObject({ exitCode: 1 });
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
