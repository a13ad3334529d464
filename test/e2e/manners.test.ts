import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { leaveForeignMarker } from "../support/foreign-lock.ts";
import { standIns } from "../support/stand-ins.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

const project = fileURLToPath(new URL("../..", import.meta.url));
const docs = join(project, "docs");
// The one is an index of links, the other is for readers of the code.
const pages = readdirSync(docs).filter((name) => name.endsWith(".md") && !/^(README|architecture)/.test(name));

describe("help", () => {
  test.each(pages)("%s is in the executable", async (page) => {
    const { exitCode, stdout } = await trainlock(["help", page]);
    expect(exitCode, `add ${page} to src/cli/commands/help-pages.ts`).toBe(0);
    expect(stdout).toBe(readFileSync(join(docs, page), "utf8"));
  });

  test("no message names a file that is not on the user's machine", () => {
    const sources = execFileSync("git", ["ls-files", "src"], { cwd: project, encoding: "utf8" }).trim().split("\n");
    const named = sources.flatMap((path) =>
      readFileSync(join(project, path), "utf8")
        .split("\n")
        .filter((line) => /docs\/[a-z-]+\.md/.test(line) && !/^\s*(\/\/|\*|\/\*|import )/.test(line))
        .map((line) => `${path}: ${line.trim()}`),
    );
    expect(named).toEqual([]);
  });

  test("of a command is the same by either way; what it is about comes first, common options last", async () => {
    const [by, asOption] = await Promise.all([trainlock(["help", "check"]), trainlock(["check", "--help"])]);
    expect(by.stdout).toBe(asOption.stdout);
    const headings = by.stdout.split("\n").filter((line) => /^\S.*:$/.test(line));
    expect(headings[0]).toBe("Configuration:");
    expect(headings.indexOf("Common options:")).toBe(headings.indexOf("Examples:") - 1);
  });

  const commands = [
    "run",
    "list",
    "check",
    "clear",
    "plan",
    "work",
    "submit",
    "why",
    "history",
    "doctor",
    "top",
    "held",
  ];
  test.each([[], ...commands.map((name) => [name])])(
    "-h of %s fits on a screen of 80 by 24, and says where the rest is",
    async (...of) => {
      const { exitCode, stdout, stderr } = await trainlock([...of, "-h"]);
      expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
      const lines = stdout.trimEnd().split("\n");
      expect(lines.length).toBeLessThanOrEqual(23);
      expect(lines.filter((line) => [...line].length > 80)).toEqual([]);
      expect(lines.at(-1)).toContain("trainlock help");
    },
  );

  test("names what is near to a page that is not there", async () => {
    const { exitCode, stderr } = await trainlock(["help", "verdict"]);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("verdicts") });
  });
});

describe("options that all commands have may stand before the command", () => {
  test("with their values, and the command's own after it", async () => {
    const of = configuration(await temporaryRoot());
    await holdWithRun(of.args);
    const before = ["--root", of.root, "--json", `--lock-dir=${of.lockDir}`, "--no-color", "list"];
    expect(await trainlock(before)).toEqual(await trainlock(["list", "--root", of.root, "--json"]));
    const check = await trainlock(["--root", of.root, "check", ...of.args.slice(2)]);
    expect(check.exitCode).toBe(1);
  });

  test.each([
    [["--root"], "--root has no value"],
    [["--strategy", "s", "list"], "unknown option --strategy"],
    [["--root", "/", "lisst"], 'unknown command "lisst"'],
  ])("%j is a wrong call", async (args, message) => {
    const { exitCode, stdout, stderr } = await trainlock(args);
    expect({ exitCode, stdout }).toEqual({ exitCode: 2, stdout: "" });
    expect(stderr).toContain(message);
  });
});

describe("with --json an error is a document, too, and the text stays", () => {
  test.each([
    [["check", "--json"], 2, "ERR_USAGE"],
    [["check", "--json", "--nonsense"], 2, "ERR_USAGE"],
    [["list", "--json", "--root", "/no/such/root"], 3, "ENOENT"],
    [["nonsense", "--json"], 2, "ERR_USAGE"],
  ])("%j", async (args, exitCode, code) => {
    const result = await trainlock(args);
    expect(result.exitCode).toBe(exitCode);
    const { error } = JSON.parse(result.stdout);
    expect(error).toMatchObject({ code, exitCode });
    expect(result.stderr).toContain(error.message);
  });

  test("what follows -- is the command's own", async () => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, "--on-lost", "never", "--", "echo", "--json"]);
    expect(run).toMatchObject({ exitCode: 2, stdout: "" });
  });

  test("so is what follows the command's name, where run has no -- before it", async () => {
    const of = configuration("/no/such/root");
    expect(await trainlock(["run", ...of.args, "echo", "--json"])).toMatchObject({ exitCode: 3, stdout: "" });
  });
});

describe("TRAINLOCK_STRATEGY and its kind stand for the flags of a configuration", () => {
  async function site() {
    const of = configuration(await temporaryRoot());
    const { strategy, dataset, model } = of;
    const env = { TRAINLOCK_STRATEGY: strategy, TRAINLOCK_DATASET: dataset, TRAINLOCK_MODEL: model };
    return { of, env: { TRAINLOCK_ROOT: of.root, ...env } };
  }

  test("where no flag is given", async () => {
    const { of, env } = await site();
    expect(await trainlock(["check"], { env })).toMatchObject({ exitCode: 0, stdout: `FREE ${of.name}\n` });
    const withRatio = await trainlock(["check"], { env: { ...env, TRAINLOCK_RATIO: "0.5" } });
    expect(withRatio.stdout).toBe(`FREE ${of.name}_ratio0p50\n`);
  });

  test("not where one flag is given: the rest is missing", async () => {
    const { env } = await site();
    const check = await trainlock(["check", "--strategy", "other"], { env });
    expect(check).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--dataset is missing") });
  });

  test("never inside a claim", async () => {
    const { of, env } = await site();
    const inner = `${project}dist/trainlock check; echo "exit $?"`;
    const run = await trainlock(["run", ...of.args, "--", "sh", "-c", inner], { env });
    expect(run.stdout).toBe("exit 2\n");
  });
});

describe("durations", () => {
  test.each(["1h30m", "90min", "300ms", "1d2h3m4s", "1.5h", "7"])("%s is one", async (duration) => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, "--kill-after", duration, "--", "true"]);
    expect(run).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test.each(["30m1h", "1h1h", "h", "1 h", "-1s", "1e3", "∞", "1h30"])("%s is none", async (duration) => {
    const of = configuration(await temporaryRoot());
    const run = await trainlock(["run", ...of.args, `--kill-after=${duration}`, "--", "true"]);
    expect(run).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("is not a duration") });
  });
});

describe("--debug shows on standard error what others were asked and what they answered", () => {
  test("ssh and schedulers, with exit code and time, and without secrets; the result is the same", async () => {
    const of = configuration(await temporaryRoot());
    leaveForeignMarker(of, { hostname: "unknown-key-1", pid: 4711, jobId: "123456" });
    const answers = join(of.root, "answers");
    mkdirSync(answers);
    writeFileSync(join(answers, "squeue"), "header --api-token=hush\n".repeat(20));
    const { env, log } = await standIns("squeue", "sacct");
    const call = ["list", "--root", of.root, "--scheduler", "slurm"];
    const options = { env: { ...env, STAND_IN_ANSWER: answers } };
    const plain = await trainlock(call, options);
    const debug = await trainlock([...call, "--debug"], options);
    expect(debug.stdout).toBe(plain.stdout);
    expect(log().filter((line) => line.startsWith("start ssh"))).toHaveLength(2);
    expect(debug.stderr).toMatch(/^debug: ssh -T .* -- unknown-key-1 'sh -s'\ndebug: {3}exit code 255 after \d+ ms\n/m);
    expect(debug.stderr).toContain("debug:   | Host key verification failed.");
    expect(debug.stderr).toMatch(/^debug: squeue .*\ndebug: {3}exit code 0 after \d+ ms\n/m);
    expect(debug.stderr).toContain("debug:   | header --api-token=***\n");
    expect(debug.stderr).toContain("debug:   | and 12 more lines");
    expect(debug.stderr).not.toContain("hush");
    expect(plain.stderr).not.toContain("debug:");
  });

  test("etcd, without what was sent", async () => {
    const root = await temporaryRoot();
    const call = ["--debug", "list", "--root", root, "--store", "etcd://127.0.0.1:1"];
    const { stderr } = await trainlock(call, {
      env: { TRAINLOCK_STORE_USER: "alice", TRAINLOCK_STORE_PASSWORD: "hush" },
    });
    expect(stderr).toMatch(/^debug: etcd POST 127\.0\.0\.1:1\/v3\/\S+\ndebug: {3}failed after \d+ ms\n/m);
    expect(stderr).not.toContain("hush");
  });
});

test("--wait takes no command for its duration", async () => {
  const of = configuration(await temporaryRoot());
  const run = await trainlock(["run", ...of.args, "--wait", "echo", "trained"]);
  expect(run).toMatchObject({ exitCode: 0, stdout: "trained\n" });
  const mistaken = await trainlock(["run", ...of.args, "--wait", "10x", "echo"]);
  expect(mistaken).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--wait "10x"') });
});

test("an unknown key or version of the site's file says that the executable may be older than the file", async () => {
  const root = await temporaryRoot();
  for (const text of ["from_the_future: true\n", "version: 2\n"]) {
    writeFileSync(join(root, "trainlock.yaml"), text);
    const { exitCode, stderr } = await trainlock(["list", "--root", root]);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("older than the file") });
  }
});
