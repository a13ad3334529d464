import { expect } from "vitest";
import { holdWithLastingCommand, killWithCommand, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { etcdTest, type StoreSite, storeSite } from "./store.ts";

/** What the command is told of the runs before it, in a root of its own: nothing but the store can tell. */
async function told(site: StoreSite, script = ""): Promise<string> {
  const other = await site.elsewhere();
  const said = `echo "$TRAINLOCK_ATTEMPT,$TRAINLOCK_LAST_EXIT"; ${script}`;
  const { stdout } = await trainlock(["run", ...other.args, "--no-also-marker", "--", "sh", "-c", said], site);
  return stdout.trim();
}

etcdTest(
  "attempts, interruptions and the last exit code are counted in the store, and a success ends the count",
  async () => {
    const site = await storeSite();
    expect(await told(site, "exit 3")).toBe("1,");
    expect(await told(site, "exit 4")).toBe("2,3");
    const stopped = startTrainlock(
      ["run", ...site.args, "--no-also-marker", "--", "sh", "-c", "echo READY; exec sleep 9"],
      site,
    );
    await stopped.waitFor("READY");
    stopped.kill("SIGTERM");
    await stopped.finished;
    expect(await told(site)).toBe("3,143");
    expect(await told(site)).toBe("1,0");
  },
);

etcdTest("a run that was killed with its wrapper is an interruption, counted once by the next one", async () => {
  const site = await storeSite();
  await told(site, "exit 3");
  const noted = () => site.etcdctl("get", "--print-value-only", site.lockKey.replace("/locks/", "/ends/"));
  for (let nth = 0; nth < 3; nth += 1) {
    const holder = await holdWithLastingCommand([...site.args, "--no-also-marker"], site);
    await until("it is noted", async () =>
      (await noted()).includes(`"child_pid": ${holder.commandPid}`) ? true : null,
    );
    await killWithCommand(holder);
    await until("the end of its lease", async () =>
      (await trainlock(["check", ...site.args], site)).exitCode === 0 ? true : null,
    );
  }
  // Three in a row that left no checkpoint are one more attempt.
  expect(await told(site, "exit 5")).toBe("3,");
  const { ends } = JSON.parse(await noted()).trainlock;
  expect(ends).toMatchObject({ attempts: 3, interruptions: 3, last_exit: 5, last_end: "failed" });
});
