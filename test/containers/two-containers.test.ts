import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { noclobberJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type RunningProcess, startProcess } from "../support/running-process.ts";
import { leftovers, listed } from "../support/scenarios.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, run, trainlock } from "../support/trainlock.ts";

/** PIDs of its own, the host's name, the host's folders: what a batch system's containers are. */
const container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
const withContainers = requiresPrograms("unshare --pid");

const inContainer = (args: readonly string[]) => run([...container, executable, ...args]);

interface Inside extends RunningProcess {
  end(): Promise<void>;
}

/** A claim held inside a container, until it is told to end. */
async function holdInside(of: TestConfiguration, root: string): Promise<Inside> {
  const end = join(root, `end-${of.strategy}`);
  const command = ["sh", "-c", `echo HELD; while [ -d ${root} ] && [ ! -e ${end} ]; do sleep 0.02; done`];
  const running = startProcess(
    container[0] ?? "",
    [...container.slice(1), executable, "run", ...of.args, "--", ...command],
    {
      env: environment(),
    },
  );
  await running.waitFor("HELD");
  return Object.assign(running, {
    end: async () => {
      writeFileSync(end, "");
      await running.finished;
    },
  });
}

const statuses = async (root: string) => (await listed(root)).map(({ kind, status }) => `${kind} ${status}`);

async function statusesInside(root: string): Promise<string[]> {
  const { stdout } = await inContainer(["list", "--root", root, "--json"]);
  const { locks } = JSON.parse(stdout) as { locks: { kind: string; status: string }[] };
  return locks.map(({ kind, status }) => `${kind} ${status}`);
}

describe("containers that share a folder, a host name and a kernel", () => {
  withContainers("a claim in one is not taken from outside, nor from another", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    const holder = await holdInside(of, root);
    for (const turnedAway of [
      await trainlock(["run", ...of.args, "--", "true"]),
      await inContainer(["run", ...of.args, "--", "true"]),
    ]) {
      expect(turnedAway).toMatchObject({ exitCode: 75 });
    }
    expect(await statuses(root)).toEqual(["file active", "fcntl active"]);
    expect(await statusesInside(root)).toEqual(["file active", "fcntl active"]);
    for (const clear of [["clear"], ["clear", "--force"]]) {
      await trainlock([...clear, "--root", root, "--no-dry-run"]);
      await inContainer([...clear, "--root", root, "--no-dry-run"]);
    }
    expect(existsSync(of.marker)).toBe(true);
    await holder.end();
    expect(leftovers(of)).toEqual([]);
  });

  withContainers("a claim outside is not taken from inside", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    const end = join(root, "end");
    const holder = startProcess(
      executable,
      ["run", ...of.args, "--", "sh", "-c", `echo HELD; while [ -d ${root} ] && [ ! -e ${end} ]; do sleep 0.02; done`],
      {
        env: environment(),
      },
    );
    await holder.waitFor("HELD");
    expect(await inContainer(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    expect(await statusesInside(root)).toEqual(["file active", "fcntl active"]);
    await inContainer(["clear", "--root", root, "--no-dry-run", "--force"]);
    expect(existsSync(of.marker)).toBe(true);
    writeFileSync(end, "");
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
    expect(leftovers(of)).toEqual([]);
  });

  withContainers(
    "the claim of a container that died is seen as dead from outside and inside, and cleared or taken over",
    async () => {
      const root = await temporaryRoot();
      const [first, second, third] = ["a", "b", "c"].map((model) => configuration(root, "baseline", "IDD-AW", model));
      if (!first || !second || !third) throw new Error("three configurations");
      for (const of of [first, second, third]) {
        // The first process of a PID namespace cannot be killed from within it: a shell is that.
        const dying = [executable, "run", ...of.args, "--", "sh", "-c", "kill -9 $PPID $$"];
        await run([...container, "sh", "-c", '"$@"; true', "sh", ...dying]);
        expect(existsSync(of.marker)).toBe(true);
      }
      expect(new Set(await statuses(root))).toEqual(new Set(["file stale", "fcntl stale"]));
      expect(new Set(await statusesInside(root))).toEqual(new Set(["file stale", "fcntl stale"]));
      expect(await trainlock(["run", ...first.args, "--", "true"])).toMatchObject({ exitCode: 0 });
      expect(await inContainer(["run", ...second.args, "--", "true"])).toMatchObject({ exitCode: 0 });
      expect(await trainlock(["clear", "--root", root, "--no-dry-run"])).toMatchObject({ exitCode: 0 });
      for (const of of [first, second, third]) expect(leftovers(of)).toEqual([]);
      expect(await statuses(root)).toEqual([]);
    },
  );

  withContainers("a claim whose host side died is cleared from inside", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    await run([executable, "run", ...of.args, "--", "sh", "-c", "kill -9 $PPID $$"]);
    expect(new Set(await statusesInside(root))).toEqual(new Set(["file stale", "fcntl stale"]));
    expect(await inContainer(["clear", "--root", root, "--no-dry-run"])).toMatchObject({ exitCode: 0 });
    expect(await statuses(root)).toEqual([]);
  });

  withContainers("its wrapper is killed in the container, its command goes on there", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    const end = join(root, "end");
    // The first process of the container stays, so that the container does.
    const script = `"$@" & while [ -d ${root} ] && [ ! -e ${end} ]; do sleep 0.02; done; sleep 0.2`;
    const command = [
      "sh",
      "-c",
      `echo HELD; kill -9 $PPID; while [ -d ${root} ] && [ ! -e ${end} ]; do sleep 0.02; done`,
    ];
    const inside = startProcess(
      container[0] ?? "",
      [...container.slice(1), "sh", "-c", script, "sh", executable, "run", ...of.args, "--", ...command],
      { env: environment() },
    );
    await inside.waitFor("HELD");
    await sleep(50);
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    expect(await inContainer(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    expect(new Set(await statuses(root))).toEqual(new Set(["file active", "fcntl active"]));
    writeFileSync(end, "");
    await inside.finished;
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
  });

  withContainers("an old job script in a container: its bare PID is another process outside, or none", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    mkdirSync(of.weightsDir, { recursive: true });
    const end = join(root, "end");
    const script = `set -C; echo $$ >"$1"; echo HELD; while [ -d ${root} ] && [ ! -e ${end} ]; do sleep 0.02; done; rm -f "$1"`;
    const inside = startProcess(container[0] ?? "", [...container.slice(1), "bash", "-c", script, "bash", of.marker], {
      env: environment(),
    });
    await inside.waitFor("HELD");
    expect(readFileSync(of.marker, "utf8")).toBe("1\n");
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    expect(await inContainer(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    for (const status of [...(await statuses(root)), ...(await statusesInside(root))])
      expect(status).not.toBe("file stale");
    await trainlock(["clear", "--root", root, "--no-dry-run"]);
    await inContainer(["clear", "--root", root, "--no-dry-run"]);
    expect(existsSync(of.marker)).toBe(true);
    writeFileSync(end, "");
    await inside.finished;
    expect(await trainlock(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
  });

  withContainers("an old job script outside is not stale to a container that cannot see it", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    const job = noclobberJob.start(of);
    await job.waitFor("HELD");
    expect(await inContainer(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 75 });
    expect(await statusesInside(root)).not.toContain("file stale");
    await inContainer(["clear", "--root", root, "--no-dry-run"]);
    expect(existsSync(of.marker)).toBe(true);
    job.closeInput();
    await job.finished;
    expect(await inContainer(["run", ...of.args, "--", "true"])).toMatchObject({ exitCode: 0 });
  });
});
