import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { done, training, workSite } from "./site.ts";

const chain = `
- { strategy: base, dataset: D, model: m }
- { strategy: next, dataset: D, model: m, needs: [{ strategy: base }] }
`;

test("a row whose need an old bash job still holds by its marker is not trained; by a dead job's marker it is", async () => {
  const site = await workSite(chain);
  const job = spawn("sleep", ["60"]);
  mkdirSync(site.weightsDir("base"), { recursive: true });
  writeFileSync(join(site.weightsDir("base"), ".training_lock"), `${job.pid}\n`);
  // It may still be writing it.
  writeFileSync(join(site.weightsDir("base"), "final.pth"), Buffer.alloc(2048));
  const beside = await site.work(done, training(site.root));
  expect(beside).toMatchObject({ exitCode: 75, stdout: expect.stringMatching(/\nblocked {2}next\/d\/m .*1 blocked/s) });
  expect(site.lines("ran")).toEqual([]);
  job.kill("SIGKILL");
  await new Promise((resolve) => job.once("exit", resolve));
  expect((await site.work(done, training(site.root))).exitCode).toBe(0);
  expect(site.lines("ran")).toEqual(["next 1"]);
});

test("--again trains a row whose need was not chosen, and after its need where that was", async () => {
  const site = await workSite(chain);
  expect((await site.work(done, training(site.root))).exitCode).toBe(0);
  const again = [...done, "--again", "--strategy"];
  expect((await site.work([...again, "next"], training(site.root))).exitCode).toBe(0);
  expect((await site.work([...again, "base,next", "--jobs", "2"], training(site.root))).exitCode).toBe(0);
  expect(site.lines("ran")).toEqual(["base 1", "next 1", "next 2", "base 2", "next 3"]);
});

test("without a done rule a need is done once its last run has ended well, for plan, work and --again alike", async () => {
  const site = await workSite(chain);
  const plan = async () => {
    const { stdout } = await trainlock(["plan", site.grid, "--root", site.root, "--scheduler", "none", "--json"]);
    return (JSON.parse(stdout).rows as { state: string }[]).map(({ state }) => state);
  };
  const command = ["sh", "-c", `echo "$TRAINLOCK_STRATEGY" >>"${site.root}/ran"`];
  expect(await plan()).toEqual(["free", "blocked"]);
  expect((await site.work(["--strategy", "base"], command)).exitCode).toBe(0);
  expect(await plan()).toEqual(["free", "free"]);
  expect((await site.work([], command)).exitCode).toBe(0);
  expect((await site.work(["--again", "--strategy", "base,next"], command)).exitCode).toBe(0);
  expect(site.lines("ran")).toEqual(["base", "next", "base", "next"]);
  // Of a run that was killed since, nobody knows that it ended well.
  const args = ["--strategy", "base", "--dataset", "D", "--model", "m"];
  const killed = startTrainlock(["run", "--root", site.root, ...args, "--die-with-wrapper", "--", "sleep", "60"]);
  await until("it is held", async () => ((await plan())[0] === "running" ? true : null));
  killed.kill("SIGKILL");
  await until("it is dead", async () => ((await plan())[0] === "stale" ? true : null));
  expect(await plan()).toEqual(["stale", "blocked"]);
});

test("--retry-failed tries each stage of a configuration once more, and each has a log of its own", async () => {
  const site = await workSite("- { strategy: s, dataset: D, model: m, stage: [1, 2] }\n");
  const weights = ["1", "2"].map(
    (stage) => `- { path: "W${stage}/{strategy}/{dataset}/{model}{ratio}{aux_loss}", when: { stage: ${stage} } }`,
  );
  site.write("trainlock.yaml", `weights:\n${weights.map((line) => `  ${line}\n`).join("")}`);
  const failing = ["sh", "-c", `echo "$TRAINLOCK_STAGE" | tee -a "${site.root}/ran"; exit 5`];
  expect((await site.work(done, failing)).exitCode).toBe(1);
  const retried = await site.work([...done, "--retry-failed", "--log", join(site.root, "logs/{name}.txt")], failing);
  expect(retried.exitCode).toBe(1);
  expect(site.lines("ran").slice(2).sort()).toEqual(["1", "2"]);
  for (const stage of ["1", "2"])
    expect(readFileSync(join(site.root, `logs/s/D/m_stage${stage}.txt`), "utf8")).toBe(`${stage}\n`);
});

test.each(["path", "blocks"])(
  "a grid that the site names by its %s is read again when it has changed",
  async (kind) => {
    const site = await workSite("[]");
    const gridOf = (strategies: string) => `- { strategy: [${strategies}], dataset: D, model: m }\n`;
    const write = (strategies: string) => {
      if (kind === "path") site.write("rows.yaml", gridOf(strategies));
      else site.write("trainlock.yaml", `grid:\n${gridOf(strategies)}`);
    };
    if (kind === "path") site.write("trainlock.yaml", "grid: rows.yaml\n");
    write("a, b, c");
    const slow = training(site.root, `until [ -e "${site.root}/go" ]; do sleep 0.05; done;`);
    const worker = startTrainlock(["work", "--root", site.root, "--scheduler", "none", ...done, "--", ...slow], {
      timeoutMs: 60_000,
    });
    await until("the first row runs", () => site.lines("ran")[0] ?? null);
    write("d");
    site.write("go", "");
    expect((await worker.finished).exitCode).toBe(0);
    const [first = "", ...others] = site.lines("ran");
    expect({ first, others }).toEqual({ first: expect.stringMatching(/^[abc] 1$/), others: ["d 1"] });
    expect((await trainlock(["plan", "--root", site.root, "--scheduler", "none"])).stdout).toMatch(
      /\n1 configuration: /,
    );
  },
);

test("several workers with --retry-failed try each failed row once more, as often as it may fail", async () => {
  const site = await workSite(["a", "b", "c"]);
  const failing = ["sh", "-c", `echo "$TRAINLOCK_STRATEGY" >>"${site.root}/ran"; sleep 0.5; exit 5`];
  expect((await site.work([...done, "--jobs", "3"], failing)).exitCode).toBe(1);
  const options = [...done, "--retry-failed", "--wait"];
  const codes = await Promise.all([1, 2, 3].map(async () => (await site.work(options, failing)).exitCode));
  expect(codes).toEqual([1, 1, 1]);
  expect(site.lines("ran").slice(3).sort()).toEqual(["a", "b", "c"]);
  const attempts = ["--max-attempts", "2", "--strategy", "a"];
  expect((await site.work([...options, ...attempts], failing)).exitCode).toBe(1);
  expect(site.lines("ran").slice(6)).toEqual(["a", "a"]);
});

test("rows whose rule, needs or attempts have changed in the grid are looked at again, those that were done and left, too", async () => {
  const site = await workSite("[]");
  const write = (of: { when: string; needs: string; attempts: number }) =>
    site.write(
      "grid.yaml",
      `- { strategy: done, dataset: D, model: m, done: { when: [${of.when}] } }
- { strategy: blocked, dataset: D, model: m, needs: [${of.needs}] }
- { strategy: failed, dataset: D, model: m, max_attempts: ${of.attempts} }
- { strategy: slow, dataset: D, model: m }
`,
    );
  mkdirSync(site.weightsDir("done"), { recursive: true });
  writeFileSync(join(site.weightsDir("done"), "final.pth"), Buffer.alloc(2048));
  write({ when: "final.pth", needs: "not-there", attempts: 1 });
  const rule = ["--done-min-size", "1KiB"];
  site.write("trainlock.yaml", "done: { when: [final.pth] }\n");
  const failing = await site.work([...rule, "--strategy", "failed"], ["sh", "-c", "exit 1"]);
  expect(failing.exitCode).toBe(1);
  const more = `until [ -e "${site.root}/go" ]; do sleep 0.05; done; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/longer.pth";`;
  const worker = site.start(rule, training(site.root, more));
  await until("the slow row", () => site.lines("ran")[0] ?? null);
  write({ when: "longer.pth", needs: ".", attempts: 2 });
  site.write("go", "");
  const { exitCode, stdout } = await worker.finished;
  expect({ exitCode, stdout }).toEqual({ exitCode: 0, stdout: expect.stringMatching(/\n4 trained\n$/) });
  expect(
    site
      .lines("ran")
      .map((line) => line.split(" ")[0])
      .sort(),
  ).toEqual(["blocked", "done", "failed", "slow"]);
});
