import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { finish, startProcess } from "../support/running-process.ts";
import { environment, startTrainlock, trainlock } from "../support/trainlock.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

const library = fileURLToPath(new URL("../../dist/lib/index.js", import.meta.url));
const bun = join(dirname(createRequire(import.meta.url).resolve("bun/package.json")), "bin", "bun.exe");
const runtimes = { Node: process.execPath, Bun: bun };

const program = (body: string) => `
  import { LockLostError, TrainingLock, listAllLocks, preflightCheck } from ${JSON.stringify(library)};
  const named = { strategy: "baseline", dataset: "IDD-AW", model: "deeplabv3plus_r50" };
  const lock = new TrainingLock(named);
  ${body}
`;

for (const [name, runtime] of Object.entries(runtimes)) {
  const options = (site: StoreSite) => ({
    env: environment({ ...site.env, TRAINLOCK_ROOT: site.root }),
    timeoutMs: 30_000,
  });
  const run = (site: StoreSite, body: string) =>
    finish(runtime, ["--input-type=module", "-e", program(body)].slice(name === "Bun" ? 1 : 0), options(site));
  const start = (site: StoreSite, body: string) =>
    startProcess(runtime, ["--input-type=module", "-e", program(body)].slice(name === "Bun" ? 1 : 0), options(site));

  etcdTest(`${name}: a lock is had once, is shown, and is given back; the process ends by itself`, async () => {
    const site = await storeSite();
    const { stdout, stderr, exitCode } = await run(
      site,
      `const other = new TrainingLock(named);
       console.log(await lock.acquire(), await other.acquire(), await other.isLocked(), await preflightCheck(named));
       console.log((await listAllLocks()).map(({ kind, status }) => kind + " " + status).join());
       await lock.assertHeld();
       console.log((await other.getLockHolder()).pid === process.pid, lock.generation > 0);
       await lock.release();
       console.log(await other.acquire());`,
    );
    expect({ stdout, stderr, exitCode }).toEqual({
      stdout: "true false true false\nfile active,fcntl active,etcd active\ntrue true\ntrue\n",
      stderr: expect.stringMatching(/^\[PRE-FLIGHT CHECK FAILED\]\n[^[]*$/),
      exitCode: 0,
    });
    // It ended without a release: its keeper has given the lock back, or does so in a moment.
    await expect.poll(async () => (await site.etcd.get(site.lockKey)).entry).toBeNull();
  });

  etcdTest(`${name}: an event loop that is busy for longer than the lease lasts keeps the lock`, async () => {
    const site = await storeSite();
    writeFileSync(join(site.root, "trainlock.yaml"), `store:\n  address: ${site.env.TRAINLOCK_STORE}\n  ttl: 5s\n`);
    const busy = start(
      site,
      `await lock.acquire();
       console.log("HELD");
       const until = Date.now() + 8000;
       while (Date.now() < until);
       await lock.assertHeld();
       console.log("STILL", lock.lost.aborted);
       await lock.release();`,
    );
    await busy.waitFor("HELD");
    const before = (await site.etcd.get(site.lockKey)).entry?.createRevision;
    await busy.waitFor("STILL false");
    expect(before).toBeGreaterThan(0);
    expect((await busy.finished).exitCode).toBe(0);
  });

  etcdTest(`${name}: who has lost the lock to another is told, and assertHeld throws`, async () => {
    const site = await storeSite();
    const { stdout, exitCode } = await run(
      site,
      `import { execFileSync } from "node:child_process";
       await lock.acquire();
       lock.lost.addEventListener("abort", () => console.log("LOST"));
       const etcdctl = (...args) => execFileSync("etcdctl", ["--endpoints", ${JSON.stringify(endpointsOf(site))}, ...args]);
       etcdctl("put", ${JSON.stringify(lastKeyOf(site))}, "another");
       etcdctl("del", ${JSON.stringify(site.lockKey)});
       const error = await lock.assertHeld().then(() => null, (error) => error);
       console.log(error instanceof LockLostError);
       while (!lock.lost.aborted) await new Promise((resolve) => setTimeout(resolve, 20));
       console.log(lock.lost.reason.exitCode, await lock.isLocked());
       await lock.release();`,
    );
    // The files beside the key exclude others until the release.
    expect(stdout.split("\n").sort()).toEqual(["", "74 true", "LOST", "true"]);
    expect(exitCode).toBe(0);
  });

  etcdTest(`${name}: inside of a run, assertHeld asks the store for the claim of that run`, async () => {
    const site = await storeSite();
    const body = `
      const error = () => lock.assertHeld().then(() => null, (error) => error);
      console.log(await lock.acquire(), await error());
      for await (const line of process.stdin) console.log((await error()) instanceof LockLostError);`;
    const call = [runtime, ...["--input-type=module", "-e", program(body)].slice(name === "Bun" ? 1 : 0)];
    const run = startTrainlock(["run", ...site.args, "--on-lost", "warn", "--", ...call], {
      env: { ...site.env, TRAINLOCK_ROOT: site.root },
    });
    await run.waitFor("true null");
    await site.etcdctl("put", lastKeyOf(site), "another");
    await site.etcdctl("del", site.lockKey);
    run.writeLine("is it held?");
    await run.waitFor("null\ntrue");
    run.closeInput();
    expect(await run.finished).toMatchObject({ exitCode: 0 });
  });
}

etcdTest("a program that is killed gives its locks back at once: its keeper has nothing to guard", async () => {
  const site = await storeSite();
  const env = environment({ ...site.env, TRAINLOCK_ROOT: site.root });
  const body = program(`await lock.acquire(); console.log("HELD"); setInterval(() => {}, 1000);`);
  const killed = startProcess(process.execPath, ["--input-type=module", "-e", body], { env, timeoutMs: 30_000 });
  await killed.waitFor("HELD");
  killed.kill("SIGKILL");
  await killed.finished;
  await expect.poll(async () => (await trainlock(["check", ...site.args], site)).exitCode).toBe(0);
});

function endpointsOf({ env }: StoreSite): string {
  return /^etcd:\/\/([^/]+)/.exec(env.TRAINLOCK_STORE ?? "")?.[1] ?? "";
}

function lastKeyOf({ lockKey }: StoreSite): string {
  return lockKey.replace("/locks/", "/last/");
}
