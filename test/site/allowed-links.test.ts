import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, test } from "vitest";
import { TrainingLock } from "../../src/index.ts";
import { asNobody } from "../e2e/nobody.ts";
import { pythonSession } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

let root: string;
let scratch: string;

beforeEach(async () => {
  root = await temporaryRoot();
  scratch = await temporaryRoot();
  declare();
});

function declare(...more: string[]): void {
  const file = join(root, "trainlock.yaml");
  writeFileSync(file, [`links: ["${scratch}"]`, ...more, ""].join("\n"));
  chmodSync(file, 0o644);
}

function folder(...parts: string[]): string {
  const path = join(scratch, ...parts);
  mkdirSync(path, { recursive: true });
  return path;
}

function link(to: string, ...parts: string[]): string {
  const path = join(root, "WEIGHTS", ...parts);
  mkdirSync(dirname(path), { recursive: true });
  symlinkSync(to, path);
  return path;
}

function marker(at: string, pid: number = process.pid): void {
  mkdirSync(at, { recursive: true });
  writeFileSync(join(at, ".training_lock"), `${pid}\n`);
}

const of = (model = "m") => ["--root", root, "--strategy", "s", "--dataset", "d", "--model", model];

describe("a link into a folder that the site allows is followed", () => {
  const places = [
    ["of all weights", [], ["s", "d_cd", "m"]],
    ["of a strategy", ["s"], ["d_cd", "m"]],
    ["of a dataset", ["s", "d_cd"], ["m"]],
    ["of a configuration", ["s", "d_cd", "m"], []],
  ] as const;

  test.each(places)("%s: run, check, list, plan and clear see what is behind it", async (_, at, behind) => {
    const behindIt = folder("me", "far");
    link(behindIt, ...at);
    const weightsDir = join(root, "WEIGHTS", "s", "d_cd", "m");
    const holder = await holdWithRun(of());
    expect(readdirSync(join(behindIt, ...behind))).toContain(".training_lock");
    expect(await trainlock(["check", ...of()])).toMatchObject({ exitCode: 1 });
    expect(await trainlock(["run", ...of(), "--", "true"])).toMatchObject({ exitCode: 75 });
    const listed = await trainlock(["list", "--root", root, "--json", "--file-only"]);
    expect(listed).toMatchObject({ exitCode: 0, stderr: "" });
    expect(JSON.parse(listed.stdout)).toMatchObject({ locks: [{ name: "s/d/m", status: "active" }] });
    expect((await trainlock(["plan", "--root", root])).stdout).toMatch(/running +s\/d\/m/);
    holder.closeInput();
    await holder.finished;
    marker(weightsDir, 4_194_303);
    const cleared = await trainlock(["clear", "--root", root, "--force", "--no-dry-run", "--scheduler", "none"]);
    expect(cleared.stdout).toContain("Cleared 1");
    expect(readdirSync(join(behindIt, ...behind))).not.toContain(".training_lock");
    expect(await trainlock(["run", ...of(), "--", "sh", "-c", 'test -d "$TRAINLOCK_WEIGHTS_DIR"'])).toMatchObject({
      exitCode: 0,
    });
  });

  test("by the library on Node, and by a relative link to a folder that is spelled in another way", async () => {
    const spelled = join(await temporaryRoot(), "by-link");
    symlinkSync(scratch, spelled);
    writeFileSync(join(root, "trainlock.yaml"), `links: ["${spelled}"]\n`);
    folder("me");
    link(`../../../../${scratch.split("/").pop()}/me`, "s", "d_cd", "m");
    const lock = new TrainingLock({ root, strategy: "s", dataset: "d", model: "m" });
    expect(await lock.acquire()).toBe(true);
    expect(readdirSync(join(scratch, "me"))).toContain(".training_lock");
    await lock.release();
  });

  requiresPrograms("python3")("by Python programs", async () => {
    link(folder("me"), "baseline", "idd-aw_cd", "deeplabv3plus_r50");
    const program = pythonSession(root);
    expect(await program.tell("lock.acquire()")).toBe(true);
    expect(readdirSync(join(scratch, "me"))).toContain(".training_lock");
    expect(await program.tell("lock.assert_held()")).toBe(null);
    await program.tell("lock.release()");
    expect(readdirSync(join(scratch, "me"))).not.toContain(".training_lock");
  });

  test("no further link behind it is, nor one to a folder that is not allowed", async () => {
    const other = await temporaryRoot();
    folder("me");
    symlinkSync(other, join(scratch, "me", "d_cd"));
    link(join(scratch, "me"), "s");
    symlinkSync(folder("behind"), join(scratch, "again"));
    link(join(scratch, "again"), "t");
    link(other, "u");
    for (const strategy of ["s", "t", "u"]) {
      const args = ["run", "--root", root, "--strategy", strategy, "--dataset", "d", "--model", "m", "--", "true"];
      expect(await trainlock(args), strategy).toMatchObject({ exitCode: 3 });
    }
    expect([...readdirSync(other), ...readdirSync(join(scratch, "behind"))]).toEqual([]);
  });
});

describe("a link that leads nowhere on this host", () => {
  test("keeps its configuration from being trained, for it may be trained elsewhere", async () => {
    const path = link(join(scratch, "me", "gone"), "s", "d_cd", "m");
    const label = "UNKNOWN - link leads nowhere here";
    expect(await trainlock(["check", ...of()])).toMatchObject({ exitCode: 1, stderr: expect.stringContaining(label) });
    expect(await trainlock(["run", ...of(), "--", "true"])).toMatchObject({
      exitCode: 75,
      stderr: expect.stringContaining(path),
    });
    expect(await trainlock(["list", "--root", root])).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining(`s/d/m [${label}]`),
    });
    expect((await trainlock(["plan", "--root", root])).stdout).toMatch(/unknown +s\/d\/m/);
    const cleared = await trainlock(["clear", "--root", root, "--force", "--no-dry-run"]);
    expect(cleared).toMatchObject({ exitCode: 0, stdout: "No stale locks found\n" });
    const waiting = startTrainlock(["run", ...of(), "--wait", "--", "echo", "trained"]);
    await until(
      "it waits",
      () => waiting.stderr().includes(`Waiting for an unknown process [${label}]`) || null,
      30_000,
    );
    folder("me", "gone");
    expect(await waiting.finished).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("trained") });
  });

  test("above a weights dir hides an unknown number of locks: exit 3", async () => {
    const path = link(join(scratch, "gone"), "s");
    const said = { exitCode: 3, stderr: expect.stringContaining(path) };
    expect(await trainlock(["list", "--root", root])).toMatchObject(said);
    expect(await trainlock(["check", ...of()])).toMatchObject({ exitCode: 1 });
    expect((await trainlock(["doctor", "--root", root])).stdout).toContain(`${path}: a link that leads nowhere`);
  });
});

describe("two configurations at one real folder", () => {
  test("are refused by run, check and listings", async () => {
    const behind = folder("me");
    const [first, second] = [link(behind, "s", "d_cd", "m"), link(behind, "s", "d_cd", "n")];
    for (const model of ["m", "n"]) {
      for (const call of [
        ["check", ...of(model)],
        ["run", ...of(model), "--", "true"],
      ]) {
        const { exitCode, stderr } = await trainlock(call);
        expect(exitCode, stderr).toBe(3);
        for (const path of [first, second]) expect(stderr).toContain(path);
      }
    }
    expect(readdirSync(behind)).toEqual([]);
    marker(behind);
    expect(await trainlock(["list", "--root", root])).toMatchObject({ exitCode: 3 });
  });

  test("are found where one link leads below the other, before the folder is there", async () => {
    const strategy = link(folder("me"), "s");
    link(folder("me", "d_cd"), "t", "d_cd");
    const { exitCode, stderr } = await trainlock(["run", ...of(), "--", "true"]);
    expect({ exitCode, stderr }).toMatchObject({ exitCode: 3, stderr: expect.stringContaining(`${strategy}/d_cd/m`) });
    expect(await trainlock(["check", "--root", root, "--name", "t/d/m"])).toMatchObject({ exitCode: 3 });
  });
});

describe("whose word is enough", () => {
  test("only a file that nobody else may write allows links", async () => {
    link(folder("me"), "s", "d_cd", "m");
    chmodSync(join(root, "trainlock.yaml"), 0o664);
    const refused = { exitCode: 3, stderr: expect.stringContaining("decides which links are followed") };
    expect(await trainlock(["check", ...of()])).toMatchObject(refused);
    const named = await trainlock(["check", ...of(), "--config", join(root, "trainlock.yaml")]);
    expect(named).toMatchObject({ exitCode: 0 });
  });

  test.each(["scratch", "/", "/scratch/../etc"])("%s is no folder to allow", async (path) => {
    writeFileSync(join(root, "trainlock.yaml"), `links: ["${path}"]\n`);
    expect(await trainlock(["list", "--root", root])).toMatchObject({ exitCode: 2 });
  });

  requiresPrograms("root", "setpriv")("a neighbour's link leads into folders of theirs, and no others", async () => {
    const [nobody, daemon] = [65_534, 1];
    const [theirs, others] = [folder("nobody"), folder("daemon")];
    chownSync(theirs, nobody, nobody);
    chownSync(others, daemon, daemon);
    mkdirSync(join(others, "x"));
    chownSync(join(others, "x"), nobody, nobody);
    const ends: Record<string, number | null> = {};
    const cases = [
      ["theirs", theirs, nobody],
      ["ours", folder("root"), nobody],
      ["a third's", others, nobody],
      ["through a third's", join(others, "x"), nobody],
      ["our link to theirs", theirs, 0],
      ["our link through a third's", join(others, "x"), 0],
    ] as const;
    for (const [name, to, uid] of cases) {
      const model = name.replace(/[^a-z]+/g, "_");
      lchownSync(link(to, "s", "d_cd", model), uid, uid);
      ends[name] = (await trainlock(["run", ...of(model), "--", "true"])).exitCode;
      renameSync(join(root, "WEIGHTS", "s", "d_cd", model), join(root, `tried-${model}`));
    }
    expect(ends).toEqual({
      theirs: 0,
      ours: 3,
      "a third's": 3,
      "through a third's": 3,
      "our link to theirs": 3,
      "our link through a third's": 3,
    });
    expect(readdirSync(join(scratch, "root"))).toEqual([]);
    const call = await asNobody();
    chmodSync(root, 0o777);
    chmodSync(scratch, 0o755);
    for (const made of ["WEIGHTS", "training_locks"]) chmodSync(join(root, made), 0o777);
    for (const made of ["WEIGHTS/s", "WEIGHTS/s/d_cd"]) chmodSync(join(root, made), 0o777);
    lchownSync(link(theirs, "s", "d_cd", "own"), nobody, nobody);
    expect(await call(["run", ...of("own"), "--", "true"])).toMatchObject({ exitCode: 0 });
  });
});
