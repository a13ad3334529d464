import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

describe("run exits as its command did", () => {
  // 75 and 3 too: the command's own code is not reinterpreted.
  test.each([0, 1, 3, 7, 75, 255])("exit code %d", async (code) => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, "--", "sh", "-c", `echo out; echo err >&2; exit ${code}`]);
    expect(run).toEqual({ exitCode: code, signal: null, stdout: "out\n", stderr: "err\n" });
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test.each(["SIGTERM", "SIGKILL", "SIGSEGV", "SIGHUP"] as const)("128 and the number of %s", async (signal) => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, "--", "sh", "-c", `kill -${signal.slice(3)} $$`]);
    expect(run.exitCode).toBe(128 + constants.signals[signal]);
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("126 for what cannot be executed, 127 for what is not there, and the lock is free again", async () => {
    const of = configuration(await temporaryRoot());
    const file = join(of.root, "train.sh");
    await writeFile(file, "#!/bin/sh\necho trained\n", { mode: 0o644 });
    const folder = join(of.root, "folder");
    await mkdir(folder);
    const cases = [
      { command: file, exitCode: 126 },
      { command: folder, exitCode: 126 },
      { command: join(of.root, "absent.sh"), exitCode: 127 },
      { command: "no-such-command-anywhere", exitCode: 127 },
    ];
    for (const { command, exitCode } of cases) {
      const run = await trainlock(["run", ...of.args, "--", command]);
      expect(run).toMatchObject({ exitCode, stdout: "", stderr: expect.stringContaining(command) });
      expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0, stderr: "" });
    }
  });
});

describe("run", () => {
  test("passes arguments and input on untouched", async () => {
    const of = configuration(await temporaryRoot());
    const odd = ["--help", "a b", "$HOME", "*", "", "--", "-x", "ü"];
    const run = await trainlock(["run", ...of.args, "--", "printf", "[%s]", ...odd]);
    expect(run).toMatchObject({ exitCode: 0, stdout: odd.map((argument) => `[${argument}]`).join("") });

    const holder = await holdWithRun(of.args);
    holder.closeInput();
    expect((await holder.finished).exitCode).toBe(0);
  });

  test("gives the command its weights dir, generation, token and name", async () => {
    const of = configuration(await temporaryRoot());
    const print =
      'printf "%s\\n" "$TRAINLOCK_WEIGHTS_DIR" "$TRAINLOCK_GENERATION" "$TRAINLOCK_TOKEN" "$TRAINLOCK_NAME" "$MINE"';
    const say = async () => {
      const run = await trainlock(["run", ...of.args, "--", "sh", "-c", print], { env: { MINE: "kept" } });
      expect(run).toMatchObject({ exitCode: 0, stderr: "" });
      const [weightsDir, generation, token, name, mine] = run.stdout.split("\n");
      expect({ weightsDir, name, mine }).toEqual({ weightsDir: of.weightsDir, name: of.name, mine: "kept" });
      expect(token).toMatch(/^[0-9a-f]{32}$/);
      return { generation: Number(generation), token };
    };
    const first = await say();
    const second = await say();
    expect(first.generation).toBeGreaterThan(0);
    expect(second.generation).toBe(first.generation + 1);
    expect(second.token).not.toBe(first.token);
    expect(existsSync(of.weightsDir)).toBe(true);
  });

  test("--on-locked skip makes 'locked' exit code 0, fail is the default", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    const exitCodes = { fail: 75, skip: 0 };
    for (const [choice, exitCode] of Object.entries(exitCodes)) {
      const run = await trainlock(["run", ...of.args, "--on-locked", choice, "--", "echo", "trained"]);
      expect(run).toMatchObject({ exitCode, stdout: "", stderr: expect.stringContaining(`(PID: ${holder.pid}`) });
    }
  });
});

describe("signals", () => {
  // Node is here anyway, and unlike a shell's background jobs its children do not start with SIGINT ignored.
  const twoProcesses = (log: string) => `
    const { appendFileSync } = require("node:fs");
    const { spawn } = require("node:child_process");
    const role = process.argv[1] ?? "command";
    for (const signal of ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"]) process.on(signal, () => {
      appendFileSync(${JSON.stringify(log)}, role + " " + signal + "\\n");
      process.exit(role === "command" ? 7 : 0);
    });
    // The end of a failed test. Not at once: input ends with the wrapper, too, and the signal may not have been seen yet.
    process.stdin.resume().on("end", () => setTimeout(() => process.exit(1), 5000));
    if (role === "command") spawn(process.execPath, ["-e", process.env.SCRIPT, "child"], { stdio: "inherit" });
    else console.log("ready");`;

  test.each(["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const)(
    "%s reaches the whole process group of the command, which ends in its own way",
    async (signal) => {
      const of = configuration(await temporaryRoot());
      const log = join(of.root, "signals");
      await writeFile(log, "");
      const script = twoProcesses(log);
      const run = startTrainlock(["run", ...of.args, "--", process.execPath, "-e", script], {
        env: { SCRIPT: script },
      });
      await run.waitFor("ready");

      run.kill(signal);

      expect(await run.finished).toMatchObject({ exitCode: 7, signal: null });
      await until("both lines", async () => ((await readFile(log, "utf8")).split("\n").length === 3 ? true : null));
      expect((await readFile(log, "utf8")).trim().split("\n").sort()).toEqual([`child ${signal}`, `command ${signal}`]);
      expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0, stderr: "" });
    },
  );

  test("a command that dies of a forwarded signal: 128 and its number, the lock is free", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    holder.kill("SIGTERM");
    expect(await holder.finished).toMatchObject({ exitCode: 128 + constants.signals.SIGTERM, signal: null });
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0, stderr: "" });
  });
});
