import { appendFileSync, chownSync, mkdirSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { holdWithLastingCommand, killWithCommand, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const hourMs = 3_600_000;
const ago = (hours: number) => new Date(Date.now() - hours * hourMs).toISOString();
const token = (nth: number) => nth.toString(16).padStart(32, "0");
const place = { host: "node01", pid: 12, job: "4711", gpus: 2 };

interface Line {
  readonly at: string;
  readonly event: string;
  readonly token?: string | null;
  readonly generation?: number | null;
  readonly name?: string;
  readonly [key: string]: unknown;
}

/** A line as `run` writes it. */
function line({ at, event, token: of = null, generation = null, name = "a/d/m", ...rest }: Line): string {
  return `${JSON.stringify({ at, event, token: of, generation, name, ...place, ...rest })}\n`;
}

/** A site whose history has these lines, in files of these names. */
async function site(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await temporaryRoot();
  for (const [name, text] of Object.entries(files)) {
    const folder = join(root, "training_locks", "history", name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${ago(0).slice(0, 7)}-0123abcd.jsonl`), text);
  }
  return root;
}

const run = (nth: number, generation: number, hours: number, end: object, name = "a/d/m") =>
  line({ at: ago(hours), event: "claimed", token: token(nth), generation, name, attempt: 1, command: ["t.py"] }) +
  line({ at: ago(hours - 1), event: "ended", token: token(nth), generation, name, seconds: 3600, ...end });

const done = { end: "done", exit: 0 };

async function history(root: string, ...args: string[]) {
  const { stdout, stderr, exitCode } = await trainlock(["history", "--root", root, ...args]);
  return { lines: stdout.trimEnd().split("\n"), stdout, stderr, exitCode };
}

test("a killed run that somebody has cleared is interrupted, and history and why say who cleared it and when", async () => {
  const of = configuration(await temporaryRoot());
  const killed = await holdWithLastingCommand(of.args);
  await until("its claim is noted", async () =>
    (await history(of.root)).stdout.includes("1 run, 1 without an end") ? true : null,
  );
  await killWithCommand(killed);
  await trainlock(["clear", "--root", of.root, "--no-dry-run"]);
  await trainlock(["run", ...of.args, "--", "sh", "-c", "exit 5"]);
  const fate = new RegExp(
    `killed or lost, cleared by ${userInfo().username} at \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d`,
  );
  const { lines } = await history(of.root, "-v");
  expect(lines[1]).toMatch(/ interrupted /);
  expect(lines[1]).toMatch(fate);
  expect(lines.at(-1)).toBe("2 runs, 0 without an end; 0 duplicates turned away");
  const { rows } = JSON.parse((await history(of.root, "--json")).stdout);
  expect(rows[0]).toMatchObject({
    generation: 1,
    state: "interrupted",
    ended: null,
    evidence: [expect.stringMatching(fate)],
  });
  const why = await trainlock(["why", ...of.args]);
  expect(why.stdout).toMatch(fate);
  expect(why.stdout).toContain("1 failed, 1 interrupted");
  expect(why.stdout).not.toContain("no end is noted");
});

test("-v says each proof once, and of costs that are not known no more than that", async () => {
  const proofs = ["kernel-lock: the kernel lock is free", "process: no process 12 on this host"];
  const takenOver = {
    event: "taken-over",
    token: token(2),
    generation: 2,
    of: token(1),
    from: { ...place, generation: 1 },
  };
  const root = await site({
    "node01-0":
      line({ at: ago(3), event: "claimed", token: token(1), generation: 1, attempt: 1, command: ["t.py"] }) +
      line({ at: ago(2), ...takenOver, evidence: [...proofs, ...proofs] }) +
      line({ at: ago(1), event: "refused", asker: "job 5", holder: { pid: 12, host: "node01", generation: 2 } }),
  });
  const { stdout, lines } = await history(root, "-v");
  expect(stdout.split("no process 12 on this host")).toHaveLength(2);
  expect(lines.at(-2)).toBe("What they would have cost is not known");
});

test("each run is a row, in the order of its generation, whatever the clocks of its hosts say; text, TSV and JSON agree", async () => {
  const root = await site({
    "node01-0": run(1, 1, 20, { end: "failed", exit: 3 }) + run(2, 3, 40, done),
    "node02-0": run(3, 2, 30, { end: "interrupted", exit: 143 }),
  });
  const { lines, exitCode } = await history(root);
  expect(exitCode).toBe(0);
  expect(lines.map((text) => /failed|interrupted|done|STATE/.exec(text)?.[0])).toEqual([
    ...["STATE", "failed", "interrupted", "done"],
    undefined,
  ]);
  expect(lines.at(-1)).toBe("3 runs, 0 without an end; 0 duplicates turned away");
  const tsv = (await history(root, "--tsv", "-o", "generation,state,exit,seconds".replace("seconds", "elapsed"))).lines;
  expect(tsv).toEqual([
    "generation\tstate\texit\telapsed",
    "1\tfailed\t3\t3600",
    "2\tinterrupted\t143\t3600",
    "3\tdone\t0\t3600",
  ]);
  const { rows } = JSON.parse((await history(root, "--json")).stdout);
  expect(rows).toMatchObject([
    { state: "failed", exit: 3 },
    { state: "interrupted" },
    { state: "done", host: "node01" },
  ]);
});

test("a run without an end is not called dead; a lost lock and a takeover are interruptions, with what showed it", async () => {
  const claimed = (nth: number, name: string) =>
    line({ at: ago(5), event: "claimed", token: token(nth), generation: 1, name, attempt: 1, command: null });
  const root = await site({
    "node01-0": claimed(1, "open/d/m") + claimed(2, "lost/d/m") + claimed(3, "killed/d/m"),
    "node02-0":
      line({ at: ago(4), event: "lost", token: token(2), generation: 1, name: "lost/d/m", why: "its marker is gone" }) +
      line({
        at: ago(3),
        event: "taken-over",
        token: token(4),
        name: "killed/d/m",
        of: token(3),
        from: null,
        evidence: ["process: gone"],
      }),
  });
  const { lines } = await history(root, "-o", "name,state,evidence");
  expect(lines.slice(1).sort()).toEqual([
    "3 runs, 1 without an end; 0 duplicates turned away",
    "killed/d/m  interrupted  process: gone",
    "lost/d/m    interrupted  its marker is gone",
    "open/d/m    no-end       -",
  ]);
});

test("selects by time, name, state and user", async () => {
  const root = await site({
    "node01-0":
      run(1, 1, 100, done, "old/d/m") +
      run(2, 1, 10, done, "gen_a/d/m") +
      run(3, 1, 9, { end: "failed", exit: 1 }, "gen_b/d/m"),
  });
  const names = async (...args: string[]) => (await history(root, "--tsv", "-o", "name", ...args)).lines.slice(1);
  expect(await names("--since", "2d")).toEqual(["gen_a/d/m", "gen_b/d/m"]);
  expect(await names("--since", ago(50).slice(0, 10))).toEqual(["gen_a/d/m", "gen_b/d/m"]);
  expect(await names("--match", "gen_*")).toEqual(["gen_a/d/m", "gen_b/d/m"]);
  expect(await names("--match", "gen_?/d/m", "--state", "failed")).toEqual(["gen_b/d/m"]);
  expect(await names("--match", "gen_")).toEqual([]);
  expect(await names("--user", "nobody-at-all")).toEqual([]);
});

requiresPrograms("root")("an event's user is the owner of its file, whatever it says", async () => {
  const root = await site({ "node01-0": run(1, 1, 10, { ...done, user: "alice", uid: 0 }) });
  chownSync(join(root, "training_locks/history/node01-0", `${ago(0).slice(0, 7)}-0123abcd.jsonl`), 65534, 65534);
  const { rows } = JSON.parse((await history(root, "--json", "--user", "nobody")).stdout);
  expect(rows).toMatchObject([{ user: "nobody", uid: 65534 }]);
});

test("what a stranger may write is passed over, counted, and shown without effect", async () => {
  const file = `${ago(0).slice(0, 7)}-0123abcd.jsonl`;
  const good = run(1, 1, 10, done);
  const root = await site({
    "node01-0":
      `${good.slice(0, 60)}\n${good}{"at":"2026-13-45T99:99:99.999Z","event":"ended","token":null,\n[]\nnull\n\0\n` +
      line({
        at: ago(5),
        event: "ended",
        token: token(7),
        name: "\u001b[2J\u0007/d/m",
        end: { toString: 1 },
        seconds: "x",
      }) +
      line({ at: ago(5), event: "refused", name: "a/d/m", asker: { a: 1 } }) +
      line({ at: ago(5), event: "ended", token: token(8), name: ["x"] as unknown as string }) +
      line({ at: ago(5), event: "taken-over", token: null, of: "__proto__", from: [], evidence: [{}] }),
  });
  symlinkSync("/dev/zero", join(root, "training_locks/history/node01-0", file.replace("0123abcd", "00000000")));
  const { lines, stdout, stderr } = await history(root, "-v");
  expect(stdout).not.toContain("\u001b");
  expect(lines.filter((text) => text.includes("done"))).toHaveLength(1);
  expect(stderr).toMatch(/[6-9] lines of the history could not be read/);
});

test("duplicates that were turned away: each job once, one user's within a minute once; hours of what is known alone", async () => {
  const holder = { user: "alice", host: "node01", pid: 12, job: "1", generation: 1 };
  const at = (minutes: number) => new Date(Date.now() - 5 * hourMs + minutes * 60_000).toISOString();
  const refused = (minutes: number, asker: string, gpus: number | null, name = "a/d/m") =>
    line({ at: at(minutes), event: "refused", name, holder, asker, gpus });
  const root = await site({
    "node01-0":
      run(1, 1, 20, done) +
      run(2, 1, 20, { end: "failed", exit: 1 }, "b/d/m") +
      refused(0, "slurm:1", 2) +
      refused(0.5, "slurm:2", 2) +
      refused(10, "slurm:1", 2) +
      refused(20, "slurm:3", 4) +
      refused(30, "slurm:4", null) +
      refused(40, "slurm:5", 8, "b/d/m"),
  });
  const { lines } = await history(root, "-v");
  expect(lines.slice(-2)).toEqual([
    "2 of them would have cost 6.0 GPU hours; of 2 others it is not known",
    "2 runs, 0 without an end; 4 duplicates turned away",
  ]);
});

test("prune removes one's own files of earlier months", async () => {
  const root = await site({ "node01-0": run(1, 1, 10, done) });
  const folder = join(root, "training_locks/history/node01-0");
  for (const name of ["2020-01-0123abcd.jsonl", "2020-02-0123abcd.jsonl", "notes.txt"])
    writeFileSync(join(folder, name), "");
  utimesSync(join(folder, "2020-01-0123abcd.jsonl"), new Date(), new Date());
  expect((await history(root, "prune", "--keep", "12mo")).stdout).toBe("Removed 2 files\n");
  expect((await history(root, "prune", "--keep", "1mo")).stdout).toBe("Removed 0 files\n");
  appendFileSync(join(folder, "notes.txt"), "kept");
  expect(readFileSync(join(folder, "notes.txt"), "utf8")).toBe("kept");
  for (const wrong of [
    ["prune"],
    ["prune", "--keep", "12"],
    ["--keep", "12mo"],
    ["prun", "--keep", "1mo"],
    ["--state", "fail"],
    ["-o", "nmae"],
    ["--since", "soon"],
  ])
    expect((await history(root, ...wrong)).exitCode).toBe(2);
});

test("thousands of runs are one document, one table and one list of lines", async () => {
  const count = 12_001;
  const lines = Array.from({ length: count }, (_, nth) => run(nth + 1, nth + 1, 10, done, `s${nth % 7}/d/m`));
  const root = await site({ "node01-0": lines.join("") });
  const { rows, runs } = JSON.parse((await history(root, "--json")).stdout);
  expect([rows.length, runs]).toEqual([count, count]);
  expect(new Set(rows.map(({ generation }: { generation: number }) => generation)).size).toBe(count);
  expect((await history(root, "--tsv")).lines).toHaveLength(count + 1);
  const { lines: table } = await history(root);
  expect(table).toHaveLength(count + 2);
  expect(new Set(table.slice(0, -1).map((text) => text.length)).size).toBeLessThan(4);
});

test("a site without a history has no runs", async () => {
  const { stdout, exitCode } = await history(await temporaryRoot());
  expect([stdout, exitCode]).toEqual(["0 runs, 0 without an end; 0 duplicates turned away\n", 0]);
});

test.each([
  ["a file", (path: string) => writeFileSync(path, "")],
  ["a link that leads nowhere", (path: string) => symlinkSync("/nowhere/of/another/host", path)],
])("%s in the place of the history is named: that nothing is found there says nothing of runs", async (what, make) => {
  const { root, args } = configuration(await temporaryRoot());
  mkdirSync(join(root, "training_locks"));
  make(join(root, "training_locks", "history"));
  const run = await trainlock(["run", ...args, "--", "true"]);
  expect(run).toMatchObject({ exitCode: 0, stderr: expect.stringContaining("the history is not complete") });
  const history = await trainlock(["history", "--root", root]);
  expect(history).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(`cannot read .*/history: ${what}`) });
});
