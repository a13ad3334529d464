import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

/** A command that leaves a checkpoint of 2 KiB. */
const trains = (name: string) => ["--", "sh", "-c", `head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/${name}"`];
const ran = ["--", "echo", "ran"];

async function scene(siteFile?: string): Promise<TestConfiguration> {
  const of = configuration(await temporaryRoot());
  if (siteFile !== undefined) await writeFile(join(of.root, "trainlock.yaml"), siteFile);
  return of;
}

const run = (of: TestConfiguration, ...more: string[]) => trainlock(["run", ...of.args, ...more]);
const check = async (of: TestConfiguration, ...more: string[]) =>
  (await trainlock(["check", ...of.args, ...more])).exitCode;

/** The state that `plan` gives the configuration. */
async function planned(of: TestConfiguration, ...more: string[]) {
  const [, , ...fields] = of.args;
  const plan = await trainlock(["plan", "--root", of.root, ...fields, ...more, "--json"]);
  const [row] = JSON.parse(plan.stdout).rows;
  return { state: row.state, reason: row.reason, exitCode: plan.exitCode };
}

describe("what the site declares", () => {
  test("run skips, check says 4 and plan says done without an option; --no-done looks at locks alone", async () => {
    const of = await scene('done:\n  when: [iter_80000.pth, "final_*"]\n  min_size: 2KiB\n');
    expect(await check(of)).toBe(0);
    expect(await run(of, ...trains("iter_80000.pth"))).toMatchObject({ exitCode: 0 });
    expect(await run(of, ...ran)).toMatchObject({ exitCode: 0, stdout: "" });
    expect(await check(of)).toBe(4);
    expect(await planned(of)).toMatchObject({ state: "done", exitCode: 0 });
    expect(await check(of, "--no-done")).toBe(0);
  });

  test("a template's goes before it, key by key, and the call's before both", async () => {
    const of = await scene(`done: { when: [site.pth], min_size: 1K }
weights:
  - path: "SMALL/{strategy}/{dataset}/{model}{ratio}{aux_loss}"
    when: { ratio: given }
    done: { when: [small.pth] }
  - path: "WEIGHTS/{strategy}/{dataset|lower}_cd/{model}{ratio}{aux_loss}"
`);
    expect(await run(of, ...trains("site.pth"))).toMatchObject({ exitCode: 0 });
    expect([await check(of), await check(of, "--done-when", "x"), await check(of, "--done-min-size", "3K")]).toEqual([
      4, 0, 0,
    ]);
    const small = { ...of, args: [...of.args, "--ratio", "0.5"] };
    expect(await run(small, ...trains("site.pth"))).toMatchObject({ exitCode: 0 });
    expect(await check(small)).toBe(0);
    expect(await run(small, ...trains("small.pth"))).toMatchObject({ exitCode: 0 });
    expect(await check(small)).toBe(4);
  });

  test.each([
    ["done: { when: [../other.pth] }", "done.when"],
    ["done: { when: [/tmp/x] }", "done.when"],
    ["done: { when: [] }", "done.when"],
    ["done: {}", "done"],
    ["done: { min_size: many }", "done.min_size"],
    ["done: { file: a/b }", "done.file"],
    ["done: { file: .training_lock.json }", "done.file"],
    ["checkpoint: ../iter_*.pth", "checkpoint"],
    ['weights: [{ path: "W/{strategy}/{dataset}/{model}{ratio}{aux_loss}", done: { when: "{..,x}/y" } }]', "weights"],
  ])("%s is refused with its line and key", async (siteFile, key) => {
    const of = await scene(siteFile);
    const refused = await trainlock(["check", ...of.args]);
    expect(refused.exitCode).toBe(2);
    expect(refused.stderr).toMatch(new RegExp(`trainlock\\.yaml:1: ${key}`));
  });
});

describe("patterns", () => {
  test.each(["model(1).pth", "model[1].pth", "a{b,c}.pth", "!last.pth", "what?.pth", "*.pth"])(
    "a file that is called %s is found by that name",
    async (name) => {
      const of = await scene();
      await run(of, "--", "true");
      await writeFile(join(of.weightsDir, name), Buffer.alloc(1024));
      expect(await check(of, `--done-when=${name}`)).toBe(4);
    },
  );

  test("fit names that begin with a dot where they begin with one themselves, as in a shell", async () => {
    const of = await scene();
    await run(of, "--", "true");
    await writeFile(join(of.weightsDir, ".best.pth"), Buffer.alloc(1024));
    const codes = [".*.pth", ".best.*", "*.pth", "?best.pth"].map((pattern) => check(of, "--done-when", pattern));
    expect(await Promise.all(codes)).toEqual([4, 4, 0, 0]);
  });

  test("find links to files, and nothing of trainlock's own", async () => {
    const of = await scene();
    await run(of, "--", "sh", "-c", `: ${"x".repeat(4000)}`);
    expect(await check(of, "--done-when", ".training_lock.json", "--done-when", ".*", "--done-when", "*")).toBe(0);
    await mkdir(join(of.weightsDir, "trainlock-logs"));
    await writeFile(join(of.weightsDir, "trainlock-logs", "1.log"), Buffer.alloc(4096));
    expect(await check(of, "--done-when", "**")).toBe(0);
    await writeFile(join(of.root, "elsewhere"), Buffer.alloc(4096));
    await symlink(join(of.root, "elsewhere"), join(of.weightsDir, "iter_1.pth"));
    await symlink("circle_1.pth", join(of.weightsDir, "circle_1.pth"));
    expect([await check(of, "--done-when", "iter_1.pth"), await check(of, "--done-when", "iter_*.pth")]).toEqual([
      4, 4,
    ]);
    expect([await check(of, "--done-when", "circle_1.pth"), await check(of, "--done-when", "circle_*.pth")]).toEqual([
      0, 0,
    ]);
  });

  const outside = ["/etc/host*", "../x.pth", "a/../../x.pth", "{..,a}/x.pth", "@(..|a)/x.pth", ""];
  test.each(outside)("%j leads out of the weights dir or names nothing: exit 2", async (pattern) => {
    const of = await scene();
    const rule = `--done-when=${pattern}`;
    expect(await run(of, rule, ...ran)).toMatchObject({ exitCode: 2, stdout: "" });
    expect(await check(of, rule)).toBe(2);
    expect(await trainlock(["plan", "--root", of.root, rule])).toMatchObject({ exitCode: 2 });
  });
});

/** Configurations of the default layout that have one weights dir. */
const sharing = {
  "two stages": [
    ["--stage", "1"],
    ["--stage", "2"],
  ],
  "a stage and none": [["--stage", "1"], []],
  "ratios that are written alike": [
    ["--ratio", "0.501"],
    ["--ratio", "0.502"],
  ],
} as const;
const rules = [
  ["--done-file", "trained.json"],
  ["--done-when", "final.pth"],
  ["--done-file", "trained.json", "--done-when", "final.pth"],
];

describe.each(Object.entries(sharing))("a weights dir of %s", (_, [one, other]) => {
  const pair = async () => {
    const plain = await scene();
    const of = { ...plain, weightsDir: `${plain.weightsDir}${String(one).startsWith("--ratio") ? "_ratio0p50" : ""}` };
    return [
      { ...of, args: [...of.args, ...one] },
      { ...of, args: [...of.args, ...other] },
    ] as const;
  };

  test.each(rules)("by %s %s: what the first has left makes no skip of the second", async (...rule) => {
    const [first, second] = await pair();
    expect(await run(first, ...rule, ...trains("final.pth"))).toMatchObject({ exitCode: 0 });
    expect(await check(first, ...rule)).toBe(4);
    const refused = await run(second, ...rule, ...ran);
    expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
    for (const [name = "", value = ""] of [one, other]) {
      expect(refused.stderr).toContain(`${name.slice(2)} ${value}`.trim());
    }
    expect(await check(second, ...rule)).toBe(3);
    expect(await planned(second, ...rule)).toMatchObject({ state: "unknown", exitCode: 3 });
    // Without a rule, and by a rule that does not hold, it trains.
    expect(await check(second)).toBe(0);
    expect(await check(second, "--done-when", "second.pth")).toBe(0);
  });

  test("a claim of the second that trained nothing does not make the first one's files its own", async () => {
    const [first, second] = await pair();
    await run(first, ...trains("final.pth"));
    expect(await run(second, "--", "false")).toMatchObject({ exitCode: 1 });
    expect(await run(second, "--", "false")).toMatchObject({ exitCode: 1 });
    expect(await run(second, "--done-when", "final.pth", ...ran)).toMatchObject({ exitCode: 3, stdout: "" });
    expect(await run(second, ...trains("second.pth"))).toMatchObject({ exitCode: 0 });
    expect(await check(second, "--done-when", "second.pth")).toBe(4);
  });

  test("who waits for the first finds nothing of its own", async () => {
    const [first, second] = await pair();
    const holder = await holdWithRun(first.args);
    const waiting = startTrainlock(["run", ...second.args, "--wait", "--done-when", "final.pth", ...ran]);
    await until("its answer", () => (/Waiting for|same lock name/.test(waiting.stderr()) ? true : null));
    await writeFile(join(first.weightsDir, "final.pth"), Buffer.alloc(2048));
    holder.closeInput();
    await holder.finished;
    expect(await waiting.finished).toMatchObject({ exitCode: 3, stdout: "" });
  });
});

test("the entry that the message gives parts the two, and what was trained counts again", async () => {
  const of = await scene();
  const [first, second] = ["1", "2"].map((stage) => ({ ...of, args: [...of.args, "--stage", stage] }));
  if (first === undefined || second === undefined) throw new Error("no stages");
  const rule = ["--done-when", "final.pth"];
  await run(of, ...rule, ...trains("final.pth"));
  const { stderr } = await run(second, ...rule, ...ran);
  const entries = [...stderr.matchAll(/- (\{.*?\} \}|WEIGHTS\S*)/g)].map(([entry]) => entry);
  await writeFile(join(of.root, "trainlock.yaml"), `weights:\n${entries.map((entry) => `  ${entry}\n`).join("")}`);
  expect(await check(of, ...rule)).toBe(4);
  expect(await run(first, ...rule, ...trains("final.pth"))).toMatchObject({ exitCode: 0 });
  expect([await check(first, ...rule), await check(second, ...rule)]).toEqual([4, 0]);
});

describe("the done file", () => {
  const [fileOnly, both] = [
    ["--done-file", "trained.json"],
    ["--done-file", "trained.json", "--done-when", "final.pth"],
  ] as const;
  const written = (of: TestConfiguration) => existsSync(join(of.weightsDir, "trained.json"));

  const nothing = {
    "a command that only prints": ["echo", "hello"],
    "one that finds the marker and leaves": [
      "bash",
      "-c",
      '(set -o noclobber; : >"$TRAINLOCK_WEIGHTS_DIR/.training_lock") 2>/dev/null || exit 0; touch x',
    ],
    "one that only logs where trainlock logs": [
      "sh",
      "-c",
      'mkdir "$TRAINLOCK_WEIGHTS_DIR/trainlock-logs" && : >"$TRAINLOCK_WEIGHTS_DIR/trainlock-logs/1.log"',
    ],
    "one that gives its group what is there, as it leaves": [
      "sh",
      "-c",
      'chmod -R g+rwX,o= "$TRAINLOCK_WEIGHTS_DIR"; chown -R "$(id -u)" "$TRAINLOCK_WEIGHTS_DIR"; ln "$TRAINLOCK_WEIGHTS_DIR/old/iter_1.pth" "$0"',
      join(tmpdir(), `backup-${process.pid}`),
    ],
    "one that reads what is there": ["sh", "-c", 'cat "$TRAINLOCK_WEIGHTS_DIR/old/iter_1.pth"'],
    "one that removes its weights dir": ["sh", "-c", 'rm -r "$TRAINLOCK_WEIGHTS_DIR"'],
    "one beside whose weights dir others train": ["sh", "-c", 'mkdir "$TRAINLOCK_WEIGHTS_DIR/../other"'],
  };
  test.each(Object.entries(nothing))("is not written for %s, and a line names `when:`", async (_, command) => {
    const of = await scene();
    await mkdir(join(of.weightsDir, "old"), { recursive: true });
    await writeFile(join(of.weightsDir, "old", "iter_1.pth"), "old");
    for (const around of [".", ".."]) await symlink(around, join(of.weightsDir, `link${around}`));
    const quiet = await run(of, ...fileOnly, "--", ...command);
    await rm(join(tmpdir(), `backup-${process.pid}`), { force: true });
    expect(quiet.exitCode).toBe(0);
    expect(quiet.stderr).toMatch(/^trainlock: .*`when:`.*trained\.json is not written\n$/);
    expect(written(of)).toBe(false);
    expect(await run(of, ...fileOnly, ...ran)).toMatchObject({ exitCode: 0, stdout: "ran\n" });
  });

  const something = {
    "a new file": '>"$TRAINLOCK_WEIGHTS_DIR/new"',
    "an old file written anew": 'echo more >"$TRAINLOCK_WEIGHTS_DIR/old/iter_1.pth"',
    "a new folder": 'mkdir "$TRAINLOCK_WEIGHTS_DIR/runs"',
    "an old file of the same size": 'printf new >"$TRAINLOCK_WEIGHTS_DIR/old/iter_1.pth"',
    "an old file that another takes the place of":
      'cp -p "$TRAINLOCK_WEIGHTS_DIR/old/iter_1.pth" "$TRAINLOCK_WEIGHTS_DIR/../x"; mv "$TRAINLOCK_WEIGHTS_DIR/../x" "$TRAINLOCK_WEIGHTS_DIR/old/iter_1.pth"',
    "a file in a folder below": 'echo more >"$TRAINLOCK_WEIGHTS_DIR/old/new"',
    "a file in a folder that a link names": 'echo more >"$TRAINLOCK_WEIGHTS_DIR/scratch/new"',
    "a file that a link names": 'echo more >"$TRAINLOCK_WEIGHTS_DIR/last.pth"',
    "a file with an old time": 'touch -d 2001-01-01 "$TRAINLOCK_WEIGHTS_DIR/old/iter_1.pth"',
  };
  test.each(Object.entries(something))("is written for %s", async (_, script) => {
    const of = await scene();
    await mkdir(join(of.weightsDir, "old"), { recursive: true });
    await writeFile(join(of.weightsDir, "old", "iter_1.pth"), "old");
    const scratch = await temporaryRoot();
    await writeFile(join(scratch, "iter_2.pth"), "old");
    await symlink(scratch, join(of.weightsDir, "scratch"));
    await symlink(join(scratch, "iter_2.pth"), join(of.weightsDir, "last.pth"));
    expect(await run(of, ...fileOnly, "--", "sh", "-c", script)).toMatchObject({ exitCode: 0, stderr: "" });
    expect(written(of)).toBe(true);
  });

  test("is not written for what was made in the second before, where times are whole seconds", async (context) => {
    const of = await scene();
    const [image, at] = [join(of.root, "image"), join(of.root, "mounted")];
    await mkdir(at);
    const made = spawnSync("sh", [
      "-c",
      'truncate -s 8M "$0" && mkfs.ext2 -q -I 128 "$0" && mount -o loop "$0" "$1"',
      image,
      at,
    ]);
    if (made.status !== 0) return context.skip("mkfs.ext2, or a mount of its file, is missing");
    onTestFinished(() => void spawnSync("sh", ["-c", 'umount --lazy "$0"', at]));
    const coarse = configuration(at);
    await mkdir(coarse.weightsDir, { recursive: true });
    const config = join(coarse.weightsDir, "config.py");
    // One of them falls into the second of its claim.
    for (let turn = 0; turn < 3; turn += 1) {
      await writeFile(config, "lr = 0.1");
      expect((await run(coarse, ...fileOnly, "--", "true")).exitCode).toBe(0);
      expect(written(coarse)).toBe(false);
    }
  });

  test("with `when`, is written where a checkpoint is there at the end; else a line says so", async () => {
    const of = await scene();
    const without = await run(of, ...both, ...trains("other.pth"));
    expect(without.exitCode).toBe(0);
    expect(without.stderr).toMatch(
      /ended with 0 without its checkpoint \(nothing in its weights dir matches final\.pth\); trained\.json is not written\n$/,
    );
    expect(await run(of, ...both, ...trains("final.pth"))).toMatchObject({ exitCode: 0, stderr: "" });
    const content = JSON.parse(await readFile(join(of.weightsDir, "trained.json"), "utf8"));
    expect(content).toMatchObject({ when: ["final.pth"], configuration: { strategy: of.strategy, stage: null } });
  });

  test("without a done file, too, a line says what exit code 0 lacks; `why` says it later", async () => {
    const of = await scene();
    const when = ["--done-when", "final.pth"];
    const nothing = await run(of, ...when, "--", "true");
    expect(nothing).toMatchObject({ exitCode: 0 });
    expect(nothing.stderr).toBe(
      "trainlock: the command ended with 0 without its checkpoint: it counts as failed\n" +
        "trainlock: nothing in its weights dir matches final.pth\n",
    );
    const small = "final.pth has 3 bytes, fewer than the 1024 of --done-min-size";
    const short = await run(of, ...when, "--", "sh", "-c", 'echo ab >"$TRAINLOCK_WEIGHTS_DIR/final.pth"');
    expect(short.stderr).toContain(`without its checkpoint: it counts as failed\ntrainlock: ${small}\n`);
    const why = await trainlock(["why", of.weightsDir, "--root", of.root, ...when]);
    expect(why.stdout).toContain(`the last one ended with exit code 0; the done rule does not hold: ${small}\n`);
  });

  test("counts by itself, and where `when` has changed only with what that names", async () => {
    const of = await scene("done: { when: [iter_80000.pth], file: trained.json }\n");
    await run(of, ...trains("iter_80000.pth"));
    await run(of, "--done-when", "none", "--", "rm", join(of.weightsDir, "iter_80000.pth"));
    expect(await check(of)).toBe(4);
    await writeFile(join(of.root, "trainlock.yaml"), "done: { when: [iter_160000.pth], file: trained.json }\n");
    expect(await check(of)).toBe(0);
    expect(await run(of, ...trains("iter_160000.pth"))).toMatchObject({ exitCode: 0, stderr: "" });
    expect(await check(of)).toBe(4);
  });

  test.each(["SIGTERM", "SIGUSR1"] as const)("is not written after %s unless `when` holds", async (signal) => {
    const script = `trap 'exit 0' TERM USR1; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/last.pth"; echo on; read line`;
    const stop = async (of: TestConfiguration, rule: readonly string[]) => {
      const stopped = startTrainlock(["run", ...of.args, "--kill-after", "0.1s", ...rule, "--", "sh", "-c", script]);
      await stopped.waitFor("on");
      stopped.kill(signal);
      return stopped.finished;
    };
    const of = await scene();
    expect(await stop(of, fileOnly)).toMatchObject({ exitCode: 0 });
    expect(written(of)).toBe(false);
    const again = await scene();
    expect(await stop(again, [...fileOnly, "--done-when", "last.pth"])).toMatchObject({ exitCode: 0 });
    expect(written(again)).toBe(true);
  });

  test("made by hand, in no known form or as a folder", async () => {
    const of = await scene();
    await mkdir(of.weightsDir, { recursive: true });
    for (const content of ["", "trained by hand", "[1]", '{ "configuration": { "strategy": "../x" }, "when": 7 }']) {
      await writeFile(join(of.weightsDir, "by-hand"), content);
      expect(await check(of, "--done-file", "by-hand")).toBe(4);
    }
    await mkdir(join(of.weightsDir, "folder"));
    expect(await check(of, "--done-file", "folder")).toBe(0);
    expect(await check(of, "--done-file", "trainlock-logs")).toBe(2);
  });
});

describe("TRAINLOCK_CHECKPOINT and TRAINLOCK_CHECKPOINT_BEFORE", () => {
  const shown = ["--", "sh", "-c", 'echo "$TRAINLOCK_CHECKPOINT;$TRAINLOCK_CHECKPOINT_BEFORE"'];
  const names = async (of: TestConfiguration) =>
    (await run(of, ...shown)).stdout.replaceAll(`${of.weightsDir}/`, "").trim();

  test("the newest by number, and the one before it", async () => {
    const of = await scene('checkpoint: "iter_*.pth"\n');
    expect(await names(of)).toBe(";");
    const write = (name: string, bytes = 2048) => writeFile(join(of.weightsDir, name), Buffer.alloc(bytes));
    await write("iter_10000.pth");
    expect(await names(of)).toBe("iter_10000.pth;");
    await write("iter_9000.pth");
    await write("best_iter_99000.pth");
    expect(await names(of)).toBe("iter_10000.pth;iter_9000.pth");
    await write("iter_11000.pth", 100);
    expect(await names(of)).toBe("iter_10000.pth;iter_9000.pth");
    await write("iter_11000.pth");
    expect(await names(of)).toBe("iter_11000.pth;iter_10000.pth");
  });

  test("checkpoints that are folders, and several numbers in a name", async () => {
    const of = await scene('checkpoint: ["checkpoint-*", "epoch=*-step=*.ckpt"]\n');
    for (const name of ["checkpoint-500", "checkpoint-1000"]) {
      await mkdir(join(of.weightsDir, name), { recursive: true });
      await writeFile(join(of.weightsDir, name, "model.bin"), Buffer.alloc(2048));
    }
    expect(await names(of)).toBe("checkpoint-1000;checkpoint-500");
    await writeFile(join(of.weightsDir, "checkpoint-1000", "model.bin"), "");
    expect(await names(of)).toBe("checkpoint-500;");
    const other = await scene('checkpoint: "epoch=*-step=*.ckpt"\n');
    await mkdir(other.weightsDir, { recursive: true });
    for (const name of ["epoch=9-step=900.ckpt", "epoch=10-step=100.ckpt"])
      await writeFile(join(other.weightsDir, name), Buffer.alloc(2048));
    expect(await names(other)).toBe("epoch=10-step=100.ckpt;epoch=9-step=900.ckpt");
  });

  test("empty where the site names none, whatever the caller has in its environment", async () => {
    const of = await scene();
    const { stdout } = await trainlock(["run", ...of.args, ...shown], { env: { TRAINLOCK_CHECKPOINT: "inherited" } });
    expect(stdout).toBe(";\n");
  });
});
