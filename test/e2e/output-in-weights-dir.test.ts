import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable } from "../support/trainlock.ts";
import { workSite } from "../work/site.ts";

// What a job prints where it finds itself locked out, and then ends with 0.
const lockedOut = "echo SKIP: somebody else has it; echo too >&2";
const trained = `${lockedOut}; echo weights >"$TRAINLOCK_WEIGHTS_DIR/final.pth"`;

test.each([
  ["a new file", (dir: string) => join(dir, "job.out")],
  ["a file that was there", (dir: string) => existing(join(dir, "old.out"))],
  ["a file in a folder below", (dir: string) => existing(join(dir, "logs", "old.out"))],
  ["a file elsewhere that a link names", linked],
])("output into %s of the weights dir is no training", async (_, outputIn) => {
  const of = configuration(await temporaryRoot());
  mkdirSync(join(of.weightsDir, "logs"), { recursive: true });
  const output = outputIn(of.weightsDir);
  const run = (script: string) =>
    spawnSync("sh", [
      "-c",
      'out=$1; shift; exec "$@" >>"$out" 2>&1',
      "sh",
      output,
      executable,
      "run",
      ...of.args,
      "--done-file",
      "t.json",
      "--",
      "sh",
      "-c",
      script,
    ]);
  expect(run(lockedOut).status).toBe(0);
  expect(readFileSync(output, "utf8")).toMatch(
    /SKIP: somebody else has it\ntoo\ntrainlock: .*t\.json is not written\n$/,
  );
  expect(existsSync(join(of.weightsDir, "t.json"))).toBe(false);
  expect(run(trained).status).toBe(0);
  expect(existsSync(join(of.weightsDir, "t.json"))).toBe(true);
});

test("nor is a worker's log there", async () => {
  const site = await workSite(["s"]);
  const options = ["--done-file", "t.json", "--log", join(site.root, "WEIGHTS/s/d_cd/m/{generation}-of-{name}.txt")];
  mkdirSync(join(site.weightsDir("s"), "1-of-s", "d"), { recursive: true });
  expect((await site.work(options, ["sh", "-c", lockedOut])).exitCode).toBe(1);
  expect(existsSync(join(site.weightsDir("s"), "t.json"))).toBe(false);
  const retried = await site.work([...options, "--retry-failed"], ["sh", "-c", trained]);
  expect(retried).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("1 trained") });
});

function existing(path: string): string {
  writeFileSync(path, "of the job before\n");
  return path;
}

function linked(dir: string): string {
  const outside = existing(join(dir, "..", "outside.out"));
  symlinkSync(outside, join(dir, "link.out"));
  return outside;
}
