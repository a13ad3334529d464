import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { done, namesTo, training, workSite } from "./site.ts";

test("several workers train each row once, and say so; afterwards nothing is left", async () => {
  const site = await workSite(namesTo(24));
  const command = training(site.root, 'echo "model $TRAINLOCK_MODEL, slot $TRAINLOCK_SLOT"; echo odd >&2;');
  const ended = await Promise.all([
    site.work([...done, "--jobs", "2"], command),
    site.work([...done, "--order", "random"], command),
    site.work(done, command),
  ]);
  for (const { exitCode } of ended) expect([0, 75]).toContain(exitCode);
  expect(site.lines("ran").sort()).toEqual(
    namesTo(24)
      .map((name) => `${name} 1`)
      .sort(),
  );
  expect(site.logOf("s7")).toMatch(/^model m, slot [01]\nodd\n$/);
  const said = ended.map(({ stdout }) => stdout).join("");
  expect(said).toContain(`started     s7/d/m, log ${site.weightsDir("s7")}/trainlock-logs/1.log\n`);
  expect(said).toMatch(/^\d\d:\d\d:\d\d done {8}s7\/d\/m, after /m);
  const again = await site.work(done, command);
  expect(again).toMatchObject({ exitCode: 0, stdout: "nothing is left to train\n", stderr: "" });
});

test("a typo starts three trainings in one worker, ten over all of them, and says what it saw", async () => {
  const site = await workSite(namesTo(40));
  const typo = ["sh", "-c", `echo . >>"${site.root}/ran"; echo one; echo no such option --modle; exit 2`];
  for (const [at, jobs, started] of [
    [0, 1, 3],
    [1, 4, 6],
    [2, 2, 9],
    [3, 1, 10],
  ] as const) {
    const others = namesTo(40).slice(at * 9, at * 9 + 9);
    const selected = [...done, "--strategy", others.join(",")];
    const { exitCode, stdout } = await site.work([...selected, "--jobs", String(jobs)], typo);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("    | one\n    | no such option --modle\n");
    expect(site.lines("ran")).toHaveLength(started);
  }
  const refused = await site.work(done, typo);
  expect(refused).toMatchObject({ exitCode: 1, stdout: expect.stringContaining("--retry-failed") });
  expect(site.lines("ran")).toHaveLength(10);
  const { exitCode } = await site.work([...done, "--retry-failed", "--jobs", "2"], training(site.root));
  expect(exitCode).toBe(0);
});

test("workers that start at one moment risk three rows each, whatever the number of slots", async () => {
  const site = await workSite(namesTo(30));
  const typo = ["sh", "-c", `echo . >>"${site.root}/ran"; sleep 0.2; exit 2`];
  const workers = await Promise.all([1, 2, 3, 4].map(() => site.work([...done, "--jobs", "4"], typo)));
  const starts = workers.map(({ stdout }) => stdout.match(/ started /g)?.length ?? 0);
  expect(Math.max(...starts)).toBeLessThanOrEqual(3);
  expect(starts.reduce((sum, each) => sum + each)).toBe(site.lines("ran").length);
  expect(workers.map(({ exitCode }) => exitCode)).toEqual([1, 1, 1, 1]);
});

test("a command that does not start stops the worker at once, and is no attempt of the row", async () => {
  for (const command of [
    ["/no/such/program"],
    ["sh", "-c", "no-such-program-at-all"],
    ["sh", "-c", "exit 126"],
    ["/etc/passwd"],
  ]) {
    const site = await workSite(namesTo(5));
    const { exitCode, stdout } = await site.work(done, command);
    expect(exitCode).toBe(1);
    expect(stdout.match(/:\d\d failed /g)).toHaveLength(1);
    expect(stdout).toMatch(/exit 12[67]: the command (is not found|cannot be executed)/);
    expect((await site.work(done, training(site.root))).exitCode).toBe(0);
  }
});

test("a row that fails is named, its log's end is shown, and the others are trained", async () => {
  const site = await workSite(["good", "bad", "fine"]);
  const lines = "for i in 1 2 3 4 5 6 7; do echo line $i; done;";
  const command = training(
    site.root,
    `[ $TRAINLOCK_STRATEGY != bad ] || { ${lines} printf '10%%\\r90%%\\n'; exit 7; };`,
  );
  const { exitCode, stdout } = await site.work([...done, "--max-attempts", "2"], command);
  expect(exitCode).toBe(1);
  expect(site.lines("ran").filter((line) => line.startsWith("bad"))).toEqual(["bad 1", "bad 2"]);
  expect(stdout).toMatch(/failed {6}bad\/d\/m, exit 7 after 0 s, log \S+\/bad\/d_cd\/m\/trainlock-logs\/1\.log\n/);
  expect(stdout).toContain("    | line 4\n    | line 5\n    | line 6\n    | line 7\n    | 90%\n");
  expect(stdout).toMatch(/2 trained, 1 failed \(bad\/d\/m\)\n$/);
});

test.each([
  ["true", done, "nothing in its weights dir matches final.pth"],
  ['echo 1 >"$TRAINLOCK_WEIGHTS_DIR/final.pth"', done, "final.pth has 2 bytes, fewer than the 1024 of --done-min-size"],
  ["true", ["--done-file", "t.json"], "t.json is not there"],
])("exit code 0 of %s without what shows the row to be done is a failure, and says why", async (script, rule, why) => {
  const site = await workSite(["s"]);
  const { exitCode, stdout } = await site.work(rule, ["sh", "-c", script]);
  expect(exitCode).toBe(1);
  expect(stdout).toContain(`exit 0 without what shows it to be done (${why}) after `);
  const again = await site.work(rule, ["true"]);
  expect(again).toMatchObject({ exitCode: 1, stderr: expect.stringContaining("trainlock why s/d/m\n") });
});

test("without a done rule, what ended with exit code 0 is not trained again", async () => {
  const site = await workSite(namesTo(3));
  expect(await site.work([], training(site.root))).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("without a done rule"),
  });
  expect((await site.work([], training(site.root))).exitCode).toBe(0);
  expect(site.lines("ran")).toHaveLength(3);
  const plan = await trainlock(["plan", site.grid, "--root", site.root, "--scheduler", "none"]);
  expect(plan.stdout.match(/^free +s\d\/d\/m {2}last run exit 0, no done rule \(--done-when\)$/gm)).toHaveLength(3);
  expect(plan.stdout).toContain(`\n\nNext: trainlock plan ${site.grid} --done-when PATTERN\n`);
  writeFileSync(join(site.root, "sbatch"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  const env = { PATH: `${site.root}:/usr/bin:/bin` };
  const call = ["submit", site.grid, "--root", site.root, "--scheduler", "slurm", "--", "true"];
  expect(await trainlock(call, { env })).toMatchObject({
    exitCode: 0,
    stdout: "nothing to submit: 3 whose last run ended with 0 (no done rule)\n",
  });
});

test("with --count 1 the exit code is the command's own, and 0 where nothing could be taken", async () => {
  const site = await workSite(namesTo(2));
  const first = ["--count", "1", "--strategy", "s1"];
  expect((await site.work([...done, ...first], ["sh", "-c", "exit 9"])).exitCode).toBe(9);
  const used = await site.work([...done, ...first], training(site.root));
  expect(used).toMatchObject({ exitCode: 0, stdout: "nothing can be trained now: 1 failed (s1/d/m)\n" });
  expect((await site.work([...done, "--count", "1", "--strategy", "s2"], training(site.root))).exitCode).toBe(0);
  const nothing = await site.work([...done, "--count", "1", "--strategy", "s2"], training(site.root));
  expect(nothing).toMatchObject({ exitCode: 0, stdout: "nothing is left to train\n" });
  const holder = await holdWithRun(["--root", site.root, "--strategy", "s1", "--dataset", "D", "--model", "m"]);
  const held = await site.work([...done, "--count", "1"], training(site.root));
  expect(held).toMatchObject({
    exitCode: 0,
    stdout: expect.stringContaining("nothing can be trained now: 1 running\n"),
  });
  holder.closeInput();
});

test("--count trains so many rows and no more, whatever the number of slots", async () => {
  const site = await workSite(namesTo(9));
  expect((await site.work([...done, "--count", "4", "--jobs", "3"], training(site.root))).exitCode).toBe(0);
  expect(site.lines("ran")).toHaveLength(4);
});

test("a row that another holds makes it exit 75, and --wait waits for it", async () => {
  const site = await workSite(["mine", "theirs"]);
  const holder = await holdWithRun(["--root", site.root, "--strategy", "theirs", "--dataset", "D", "--model", "m"]);
  const { exitCode, stdout } = await site.work(done, training(site.root));
  expect(exitCode).toBe(75);
  expect(stdout).toMatch(/\nrunning {2}theirs\/d\/m {2}\S+, PID \d+ on .*\n1 trained, 1 running\n$/);
  const waiting = site.start([...done, "--wait"], training(site.root));
  await waiting.waitFor("waiting");
  holder.closeInput();
  expect((await waiting.finished).exitCode).toBe(0);
  expect(site.lines("ran")).toEqual(["mine 1", "theirs 2"]);
});

test("a grid that changes is read again: what is taken out is not started, a broken one is said once", async () => {
  const site = await workSite(namesTo(6));
  const gate = "while [ ! -e $ROOT/gate-$TRAINLOCK_STRATEGY ] && [ ! -e $ROOT/all ]; do sleep 0.02; done;";
  const worker = site.start(done, training(site.root, gate), { env: { ROOT: site.root } });
  await until("a first row", () => (site.lines("ran").length > 0 ? true : null));
  const [first = ""] = site.lines("ran").map((line) => line.split(" ")[0] ?? "");
  const others = namesTo(6).filter((name) => name !== first);
  writeFileSync(site.grid, `- { strategy: [${others.slice(0, 2).join(", ")}, new], dataset: D, model: m }\n`);
  site.write(`gate-${first}`, "");
  await until("a second row", () => (site.lines("ran").length > 1 ? true : null));
  writeFileSync(site.grid, "- { strategy: [nothing");
  site.write("all", "");
  const { exitCode, stdout } = await worker.finished;
  expect(exitCode).toBe(0);
  expect(
    site
      .lines("ran")
      .map((line) => line.split(" ")[0])
      .sort(),
  ).toEqual([first, ...others.slice(0, 2), "new"].sort());
  expect(stdout.match(/going on with the grid as it was/g)).toHaveLength(1);
});

test("rows that need others are trained after them, in one go", async () => {
  const site = await workSite(`
- { strategy: second, dataset: D, model: m, needs: ["{root}/WEIGHTS/first/d_cd/m/final.pth"] }
- { strategy: first, dataset: D, model: m }
- { strategy: never, dataset: D, model: m, needs: ["{root}/no-such-input"] }
`);
  const { exitCode, stdout } = await site.work([...done, "--jobs", "2"], training(site.root));
  expect(site.lines("ran")).toEqual(["first 1", "second 1"]);
  expect(exitCode).toBe(75);
  expect(stdout).toMatch(
    /\nblocked {2}never\/d\/m {2}needs \S+no-such-input, which is not there\n2 trained, 1 blocked\n$/,
  );
});

test("the stages of one configuration are rows of their own, each under the rule of its block", async () => {
  const stage = (number: number, more = "") =>
    `- { strategy: [a, b], dataset: D, model: m, stage: ${number}, done: { when: stage_${number}.pth }${more} }\n`;
  const needing = (number: number) => stage(number, `, needs: [{ stage: ${number - 1} }]`);
  const site = await workSite(stage(1) + needing(2) + needing(3) + needing(4));
  site.write(
    "trainlock.yaml",
    "done: { when: [never.pth] }\nweights:\n" +
      "  - { path: 'W_{stage|bare}/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}', when: { stage: given } }\n" +
      "  - 'W/{strategy}/{dataset|lower}/{model}{ratio}{aux_loss}'\n",
  );
  const script = (last: string) =>
    `echo "$TRAINLOCK_STRATEGY $TRAINLOCK_STAGE" >>${site.root}/ran; [ $TRAINLOCK_STAGE != ${last} ] || exit 7; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/stage_$TRAINLOCK_STAGE.pth"`;
  const first = await site.work([], ["sh", "-c", script("3")]);
  expect(first).toMatchObject({
    exitCode: 1,
    stdout: expect.stringMatching(/ failed {6}[ab]\/d\/m \(stage 3\), exit 7.*4 trained, 2 failed/s),
    stderr: expect.stringMatching(/why it failed: trainlock why [ab]\/d\/m --stage 3$/m),
  });
  const why = await trainlock(["why", "a/d/m (stage 3)", "--root", site.root, "--grid", site.grid]);
  expect(why.stdout).toMatch(/^failed {2}a\/d\/m \(stage 3\)\n/);
  // Runs of other stages are none of this one's.
  expect(why.stdout.match(/\(generation 1, /g)).toHaveLength(1);
  const history = await trainlock(["history", "--root", site.root, "--json"]);
  const runs = JSON.parse(history.stdout).rows as { name: string; stage?: string; state: string }[];
  expect(
    runs
      .filter(({ stage }) => stage === "3")
      .map(({ name, state }) => `${name} ${state}`)
      .sort(),
  ).toEqual(["a/d/m failed", "b/d/m failed"]);
  // The rows that are needed are not chosen here, and what shows them to be done stands in their blocks.
  const rest = await site.work(["--stage", "3,4", "--retry-failed"], ["sh", "-c", script("none")]);
  expect(rest).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("4 trained\n") });
  const ran = ["a", "b"].flatMap((name) => [1, 2, 3, 3, 4].map((number) => `${name} ${number}`));
  expect(site.lines("ran").sort()).toEqual(ran);
  const plan = await trainlock(["plan", site.grid, "--root", site.root, "--stage", "4"]);
  expect(plan.stdout).toMatch(/^done {5}a\/d\/m \(stage 4\) {2}stage_4.pth\ndone {5}b\/d\/m \(stage 4\)/);
});

test("a row whose folder cannot be made is exit 3, and stops no other", async () => {
  const site = await workSite(["good", "bad", "fine"]);
  mkdirSync(join(site.root, "WEIGHTS", "bad"), { recursive: true });
  writeFileSync(join(site.root, "WEIGHTS", "bad", "d_cd"), "in the way");
  const { exitCode } = await site.work(done, training(site.root));
  expect(exitCode).toBe(3);
  expect(site.lines("ran").sort()).toEqual(["fine 1", "good 1"]);
});

test("--split-gpus gives each slot its share; more slots than GPUs is a wrong call", async () => {
  const site = await workSite(namesTo(8));
  const note = `echo "$TRAINLOCK_SLOT $CUDA_VISIBLE_DEVICES" >>${site.root}/gpus; sleep 0.2;`;
  const env = { CUDA_VISIBLE_DEVICES: "0,3,GPU-7" };
  expect((await site.work([...done, "--jobs", "2", "--split-gpus"], training(site.root, note), { env })).exitCode).toBe(
    0,
  );
  expect([...new Set(site.lines("gpus"))].sort()).toEqual(["0 0,3", "1 GPU-7"]);
  const tooMany = await site.work([...done, "--jobs", "4", "--split-gpus"], ["true"], { env });
  expect(tooMany).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("there are 3 GPUs for 4 slots") });
});

test("--until starts no row that usually takes longer than what is left", async () => {
  const site = await workSite(
    `- { strategy: [a, b, c, d, e], dataset: D, model: [slow] }\n- { strategy: a, dataset: D, model: quick }\n`,
  );
  const command = ["sh", "-c", 'sleep 2; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"'];
  expect((await site.work([...done, "--model", "slow", "--jobs", "3", "--count", "3"], command)).exitCode).toBe(0);
  const { exitCode, stdout } = await site.work([...done, "--until", "1.5s"], training(site.root));
  expect(exitCode).toBe(75);
  expect(stdout.match(/ started /g)).toHaveLength(1);
  expect(stdout).toMatch(/1 trained, 2 without time\n$/);
});

test("--rehearse names what is wrong and starts nothing", async () => {
  const site = await workSite(namesTo(2));
  const fine = await site.work([...done, "--rehearse"], training(site.root));
  expect(fine).toMatchObject({ exitCode: 0, stdout: "2 rows: 2 trainable; nothing was started\n" });
  const wrong = await site.work([...done, "--rehearse"], ["no-such-program"]);
  // None of them is trainable then.
  expect(wrong.stdout).toBe("2 rows: 2 that cannot be trained here; nothing was started\n");
  expect(wrong).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("no-such-program") });
  expect((await site.work([...done, "--rehearse"], [site.root])).exitCode).toBe(3);
  const misspelt = await site.work([...done, "--rehearse"], ["bash", "trian.sh", "{model}"]);
  expect(misspelt).toMatchObject({ exitCode: 3, stderr: "trainlock: the script trian.sh is not there\n" });
  for (const code of [["-c", "true"], ["{strategy}.sh"]])
    expect(await site.work([...done, "--rehearse"], ["bash", ...code])).toMatchObject({ exitCode: 0, stderr: "" });
  expect(existsSync(join(site.root, "WEIGHTS"))).toBe(false);
});

test("output goes where --log says; a link in the place of the log folder is not followed", async () => {
  const site = await workSite(["s"]);
  const inherited = await site.work([...done, "--log", "inherit"], training(site.root, "echo out; echo err >&2;"));
  expect(inherited).toMatchObject({ exitCode: 0, stdout: "out\n", stderr: expect.stringContaining("err\n") });
  rmSync(join(site.weightsDir("s"), "final.pth"));
  const pattern = join(site.root, "logs", "{name}", "{generation}.txt");
  expect((await site.work([...done, "--log", pattern], training(site.root, "echo out;"))).exitCode).toBe(0);
  expect(readFileSync(join(site.root, "logs", "s", "d", "m", "2.txt"), "utf8")).toBe("out\n");
});

test("--log gives each row a file of its own, or is refused", async () => {
  const site = await workSite(namesTo(2));
  for (const [pattern, why] of [
    ["all.log", "all rows would write into one file"],
    ["logs/{generation}.log", "all rows would write into one file"],
    ["{strategy}/{name}.log", "{strategy} is not replaced there"],
  ] as const) {
    const refused = await site.work([...done, "--log", pattern], training(site.root));
    expect(refused).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(why) });
  }
  expect(site.lines("ran")).toEqual([]);
});

test("--again trains selected rows once more, by several workers each once; what showed them to be done is kept", async () => {
  const site = await workSite(namesTo(4));
  expect((await site.work([...done, "--done-file", "t.json"], training(site.root))).exitCode).toBe(0);
  const again = [...done, "--done-file", "t.json", "--again", "--strategy", "s1,s2,s3"];
  const slow = training(site.root, "sleep 0.5;");
  const ended = await Promise.all([site.work([...again, "--wait"], slow), site.work([...again, "--wait"], slow)]);
  expect(ended.map(({ exitCode }) => exitCode)).toEqual([0, 0]);
  expect(site.lines("ran").slice(4).sort()).toEqual(["s1 2", "s2 2", "s3 2"]);
  for (const name of ["final.pth", "final.pth.before-1", "t.json", "t.json.before-1"])
    expect([name, existsSync(join(site.weightsDir("s2"), name))]).toEqual([name, true]);
  expect((await site.work([...again, "--done-when", "*"], training(site.root))).exitCode).toBe(0);
  expect(existsSync(join(site.weightsDir("s2"), "final.pth.before-2"))).toBe(true);
  const all = await site.work([...done, "--again"], training(site.root));
  expect(all).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--again without a selection") });
});

test("a training goes on from its checkpoint", async () => {
  const site = await workSite(["s"]);
  site.write("trainlock.yaml", 'checkpoint: "iter_*.pth"\n');
  const script = `echo "$@" >>"${site.root}/args"; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/iter_$#.pth"; exit 1`;
  for (let run = 0; run < 2; run += 1)
    await site.work([...done, "--retry-failed"], ["sh", "-c", script, "sh", "go", "{--resume}", "{checkpoint}"]);
  const path = join(site.weightsDir("s"), "iter_2.pth");
  expect(site.lines("args")).toEqual(["go ", `go --resume ${path} ${path}`]);
});

test("workers on the options alone; a call without a grid or a command is wrong", async () => {
  const site = await workSite(["unused"]);
  const call = ["--strategy", "a,b", "--dataset", "D", "--model", "m", "--no-grid", ...done];
  expect((await site.work(call, training(site.root))).exitCode).toBe(0);
  expect(site.lines("ran").sort()).toEqual(["a 1", "b 1"]);
  const none = await trainlock(["work", "--root", site.root, "--", "true"]);
  expect(none).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("no grid is given") });
  const commandless = await trainlock(["work", site.grid, "--root", site.root]);
  expect(commandless).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("no command is given") });
  const dashless = await trainlock(["work", site.grid, "--root", site.root, "bash", "train.sh"]);
  expect(dashless).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("give the command after --") });
});
