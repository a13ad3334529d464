import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { RunningProcess } from "../support/running-process.ts";
import { type WorkSite, workSite } from "./site.ts";

const names = Array.from({ length: 10 }, (_, index) => `s${index + 1}`);

/** Lets another worker end a run of the row while the wrapper of the first one's stands between look and claim. */
async function overtaken(site: WorkSite, options: readonly string[], exitCode: number) {
  const script = `echo "$1 $TRAINLOCK_STRATEGY" >>"${site.root}/ran"; exit ${exitCode}`;
  const command = (who: string) => ["sh", "-c", script, "sh", who];
  for (const name of names) {
    const selected = [...options, "--strategy", name];
    const first = site.start(selected, command("first"));
    const wrapper = await firstChild(first);
    if (wrapper === null) continue;
    try {
      process.kill(wrapper, "SIGSTOP");
      const hasClaimed = existsSync(join(site.weightsDir(name), ".training_lock"));
      if (!hasClaimed) await site.work(selected, command("second"));
    } finally {
      process.kill(wrapper, "SIGCONT");
    }
    const finished = await first.finished;
    if (site.lines("ran").includes(`second ${name}`)) return { name, ...finished };
  }
  throw new Error("no wrapper was stopped before its claim");
}

async function firstChild({ pid, finished }: RunningProcess): Promise<number | null> {
  let over = false;
  finished.then(() => (over = true));
  for (;;) {
    const children = `/proc/${pid}/task/${pid}/children`;
    const [child = ""] = over || !existsSync(children) ? [] : readFileSync(children, "utf8").split(" ");
    if (child !== "") return Number(child);
    if (over) return null;
    await new Promise((resolve) => setImmediate(resolve));
  }
}

test("what another has trained since the look at it is not trained again, without a done rule too", async () => {
  const site = await workSite(names);
  const { name, exitCode, stdout } = await overtaken(site, [], 0);
  expect(site.lines("ran").filter((line) => line.endsWith(` ${name}`))).toEqual([`second ${name}`]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringContaining("nothing is left") });
});

test("a row is not tried more often than it may fail, though another has failed it since the look", async () => {
  const site = await workSite(names);
  const { name, exitCode, stdout } = await overtaken(site, ["--max-attempts", "1", "--done-when", "*.pth"], 3);
  expect(site.lines("ran").filter((line) => line.endsWith(` ${name}`))).toEqual([`second ${name}`]);
  expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: expect.stringContaining(`1 failed (${name}/d/m)`) });
});
