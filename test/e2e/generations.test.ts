import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { beforeEach, describe, expect, test } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithRun, trainlock } from "../support/trainlock.ts";

const limit = 2 ** 53;
let of: TestConfiguration;

beforeEach(async () => {
  of = configuration(await temporaryRoot());
  expect(await next()).toBe(1);
});

const run = (...options: string[]) =>
  trainlock(["run", ...of.args, ...options, "--", "sh", "-c", "echo $TRAINLOCK_GENERATION"]);

/** The generation of a claim that is made now. */
async function next(): Promise<number> {
  const { exitCode, stdout, stderr } = await run();
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return Number(stdout);
}

type Section = Record<string, unknown>;

/** Changes what a record says, in its JSON text: not every number survives a round through a program. */
function rewrite(path: string, change: (text: string) => string): void {
  writeFileSync(path, change(readFileSync(path, "utf8")));
}

const numbered = (number: string) => (text: string) => text.replace(/"generation": [^,\n]+/, `"generation": ${number}`);

function change(path: string, section: Section): void {
  rewrite(path, (text) => {
    const record = JSON.parse(text);
    return JSON.stringify({ ...record, trainlock: { ...record.trainlock, ...section } });
  });
}

const clear = (...options: string[]) => trainlock(["clear", ...of.args, ...options]);

describe("a number that cannot be counted on from", () => {
  const numbers = [String(limit - 1), String(limit), "1e400", "-1", "2.5", '"7"', "null", "[3]", "true"];

  test.each(numbers)(
    "%s in the lock file, the record or both: exit 3 that names both and the way out",
    async (number) => {
      for (const paths of [[of.kernelLock], [of.markerRecord], [of.kernelLock, of.markerRecord]]) {
        for (const path of [of.kernelLock, of.markerRecord]) rewrite(path, numbered("41"));
        for (const path of paths) rewrite(path, numbered(number));
        for (const refused of [await run(), await trainlock(["check", ...of.args])]) {
          expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
          for (const part of [of.kernelLock, of.markerRecord, "clear CONFIGURATION --reset-generation"])
            expect(refused.stderr).toContain(part);
        }
      }
      expect(await trainlock(["list", "--root", of.root])).toMatchObject({ exitCode: 0 });
    },
  );

  test("the last one is taken, and none after it", async () => {
    rewrite(of.kernelLock, numbered(String(limit - 3)));
    expect(await next()).toBe(limit - 2);
    expect(await run()).toMatchObject({ exitCode: 3, stderr: expect.stringContaining("it is the last one") });
  });

  test("a record that its holder finds so is written again, and the claim stays held", async () => {
    const holder = await holdWithRun(["--check-every", "1s", ...of.args]);
    rewrite(of.kernelLock, numbered(String(limit)));
    await expect.poll(() => readFileSync(of.kernelLock, "utf8")).toContain('"generation": 2');
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
  });
});

describe("clear --reset-generation", () => {
  test("goes on above the highest number below the limit, in records and done files", async () => {
    rewrite(of.kernelLock, numbered(String(limit)));
    rewrite(of.markerRecord, numbered("7"));
    expect(await clear("--reset-generation")).toMatchObject({
      exitCode: 0,
      stdout: "No stale locks found\nThe next generation would be 8\nRun with --no-dry-run to reset it\n",
    });
    expect(await run()).toMatchObject({ exitCode: 3 });
    writeFileSync(`${of.weightsDir}/finished.json`, JSON.stringify({ exitCode: 0, generation: 19 }));
    writeFileSync(`${of.weightsDir}/other.json`, JSON.stringify({ generation: 300 }));
    expect(await clear("--reset-generation", "--no-dry-run")).toMatchObject({
      exitCode: 0,
      stdout: "No stale locks found\nThe next generation is 20\n",
    });
    expect(await next()).toBe(20);
    expect(await next()).toBe(21);
    const { stdout } = await clear("--reset-generation", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ dryRun: true, nextGeneration: 22 });
  });

  test("counts what the history says of it, too", async () => {
    const folder = `${of.lockDir}/history/node07-1000`;
    mkdirSync(folder, { recursive: true });
    const event = (name: string, generation: unknown) => JSON.stringify({ event: "claimed", name, generation });
    const lines = [event(of.name, 41), event(of.name, 2 ** 53), event("other/d/m", 90), `{"name":"${of.name}", torn`];
    writeFileSync(`${folder}/2026-01-00000000.jsonl`, lines.join("\n"));
    rewrite(of.kernelLock, numbered("null"));
    await clear("--reset-generation", "--no-dry-run");
    expect(await next()).toBe(42);
  });

  test("does so where the last one was taken, and where nothing can be read", async () => {
    for (const path of [of.kernelLock, of.markerRecord]) rewrite(path, numbered(String(limit - 2)));
    await clear("--reset-generation", "--no-dry-run");
    expect(await next()).toBe(2);
    rewrite(of.kernelLock, numbered("null"));
    rmSync(of.weightsDir, { recursive: true });
    rmSync(`${of.lockDir}/history`, { recursive: true, force: true });
    await clear("--reset-generation", "--no-dry-run");
    expect(await next()).toBe(1);
  });

  test("changes nothing of a configuration that is held, and wants one configuration", async () => {
    const holder = await holdWithRun(of.args);
    expect(await clear("--reset-generation", "--no-dry-run")).toMatchObject({ exitCode: 3 });
    expect(readFileSync(of.kernelLock, "utf8")).toContain('"generation": 2');
    holder.closeInput();
    await holder.finished;
    const all = await trainlock(["clear", "--root", of.root, "--reset-generation"]);
    expect(all).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("--reset-generation is for one") });
  });
});

describe("a record of a newer format", () => {
  const both = (section: Section) => {
    for (const path of [of.kernelLock, of.markerRecord]) change(path, { format: 2, ...section });
  };

  test("that is released: the next generation follows on it", async () => {
    both({ generation: 3 });
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 0 });
    expect(await next()).toBe(4);
    // Only one of the two may have been signed off in time.
    both({ generation: 8 });
    change(of.markerRecord, { released_at: null });
    expect(await next()).toBe(9);
  });

  test.each([
    ["whose release cannot be read", { released_at: 5 }],
    ["whose generation cannot be read", { generation: "four" }],
    ["whose generation is not there", { generation: undefined }],
  ])("that is released, and %s: not trained", async (_, section) => {
    both(section);
    // Whether anybody holds it is the first question.
    const isUnsure = "released_at" in section;
    const why = isUnsure ? "UNKNOWN - newer trainlock" : "this trainlock is older than";
    const refused = { stdout: "", stderr: expect.stringContaining(why) };
    expect(await run()).toMatchObject({ exitCode: isUnsure ? 75 : 3, ...refused });
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: isUnsure ? 1 : 3, ...refused });
    expect(await trainlock(["list", "--root", of.root])).toMatchObject({ exitCode: 0, stderr: "" });
  });

  test("that is not released, and free: unknown, and cleared by force alone, with its generation kept", async () => {
    both({ generation: 5, released_at: null });
    const { stdout, exitCode } = await trainlock(["list", "--root", of.root]);
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: expect.stringContaining("[UNKNOWN - newer trainlock]"),
    });
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    expect(await run()).toMatchObject({ exitCode: 75 });
    expect(await clear("--no-dry-run")).toMatchObject({ stdout: "No stale locks found\n" });
    expect(await clear("--no-dry-run", "--force")).toMatchObject({ exitCode: 0 });
    expect(await next()).toBe(6);
  });

  test("beside a marker whose process is gone: unknown, and never taken over", async () => {
    both({ generation: 5, released_at: null });
    writeFileSync(of.marker, "4194303\n");
    rmSync(of.kernelLock);
    expect(await trainlock(["list", "--root", of.root])).toMatchObject({
      stdout: expect.stringContaining("[UNKNOWN - newer trainlock]"),
    });
    expect(await run()).toMatchObject({ exitCode: 75 });
  });

  test("of a claim that is held: locked as ever", async () => {
    const holder = await holdWithRun(of.args);
    change(of.kernelLock, { format: 2 });
    expect(await trainlock(["check", ...of.args])).toMatchObject({ exitCode: 1 });
    expect(await run()).toMatchObject({ exitCode: 75 });
    holder.closeInput();
    await holder.finished;
  });
});
