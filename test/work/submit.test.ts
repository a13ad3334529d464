import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { done, namesTo, training, workSite } from "./site.ts";

const kinds = ["slurm", "lsf", "pbs", "sge"] as const;
type Kind = (typeof kinds)[number];

/** Each scheduler's commands, answering in its own format from a folder: a line `INDEX STATE` for each element of a job. */
const commands: Record<Kind, Record<string, string>> = {
  slurm: {
    sbatch:
      'echo "$@" >>$S/calls; n=$(next); cat >$S/$n.sh; elements "$(grep -o "array=1-[0-9]*" $S/$n.sh | cut -d- -f2)" PENDING >$S/$n.job; echo $n',
    squeue:
      'for j in $S/*.job; do [ -e $j ] || exit 0; while read i s; do echo "$(basename $j .job)|$i|$s|$(id -un)|0|"; done <$j; done',
    scontrol: 'printf "ClusterName             = c1\\nMaxArraySize            = 6\\nPrivateData             = none\\n"',
    sinfo: ":",
    sacct: ":",
  },
  lsf: {
    bsub: 'n=$(next); cat >$S/$n.sh; elements "$(grep -o "\\[1-[0-9]*" $S/$n.sh | cut -d- -f2)" PEND >$S/$n.job; echo "Job <$n> is submitted to default queue <normal>."',
    bjobs: `printf '{"COMMAND":"bjobs","JOBS":1,"RECORDS":['; c=; for j in $S/*.job; do [ -e $j ] || break; while read i s; do printf '%s{"JOBID":"%s","JOBINDEX":"%s","STAT":"%s","USER":"%s","EXEC_HOST":"","SUBMIT_TIME":"","START_TIME":"","FINISH_TIME":""}' "$c" "$(basename $j .job)" "$i" "$s" "$(id -un)"; c=,; done <$j; done; echo ']}'`,
    lsid: 'printf "IBM Spectrum LSF Standard 10.1.0.2\\n\\nMy cluster name is c1\\nMy master name is m\\n"',
    bparams: 'printf "MAX_JOB_ARRAY_SIZE = 5\\n"',
  },
  pbs: {
    qsub:
      'n=$(next); cat >$S/$n.sh; e=$(grep -o "J 1-[0-9]*" $S/$n.sh | cut -d- -f2); elements "' +
      "$" +
      '{e:-1}" Q >$S/$n.job; if [ -n "$e" ]; then echo "$n[].srv"; else echo "$n.srv"; fi',
    qstat: `printf '{"timestamp":1,"pbs_version":"20.0","pbs_server":"srv","Jobs":{'; c=; for j in $S/*.job; do [ -e $j ] || break; while read i s; do printf '%s"%s[%s].srv":{"Job_Owner":"%s@h","job_state":"%s"}' "$c" "$(basename $j .job)" "$i" "$(id -un)" "$s"; c=,; done <$j; done; echo '}}'`,
    qmgr: 'printf "Server srv\\n    query_other_jobs = True\\n    max_array_size = 5\\n"',
  },
  sge: {
    qsub: 'n=$(next); cat >$S/$n.sh; e=$(grep -o "t 1-[0-9]*" $S/$n.sh | cut -d- -f2); elements "$e" qw >$S/$n.job; echo "$n.1-$e:1"',
    qstat: `echo "<?xml version='1.0'?><job_info><queue_info>"; for j in $S/*.job; do [ -e $j ] || break; while read i s; do echo "<job_list state=\\"pending\\"><JB_job_number>$(basename $j .job)</JB_job_number><JB_owner>$(id -un)</JB_owner><state>$s</state><tasks>$i</tasks></job_list>"; done <$j; done; echo "</queue_info></job_info>"`,
    qhost: ":",
    qconf: 'printf "max_aj_tasks                 5\\n"',
  },
};
const endedState: Record<Kind, string> = { slurm: "COMPLETED", lsf: "DONE", pbs: "F", sge: "" };
const jobVariables: Record<Kind, (job: string, index: number) => Record<string, string>> = {
  slurm: (job, index) => ({
    SLURM_JOB_ID: `9${job}${index}`,
    SLURM_ARRAY_JOB_ID: job,
    SLURM_ARRAY_TASK_ID: `${index}`,
  }),
  lsf: (job, index) => ({ LSB_JOBID: job, LSB_JOBINDEX: `${index}` }),
  pbs: (job, index) => ({ PBS_JOBID: `${job}[${index}].srv`, PBS_ARRAY_INDEX: `${index}` }),
  sge: (job, index) => ({ SGE_ROOT: "/sge", JOB_ID: job, SGE_TASK_ID: `${index}` }),
};

async function siteWith(kind: Kind, rows: readonly string[] | string) {
  const site = await workSite(rows);
  const bin = join(site.root, "bin");
  const state = join(site.root, "scheduler");
  mkdirSync(bin);
  mkdirSync(state);
  const head = `#!/bin/bash\nS=${state}\nnext() { n=$((100 + $(ls $S | grep -c sh$))); echo $n; }\nelements() { for i in $(seq $1); do echo "$i $2"; done; }\n`;
  for (const [name, body] of Object.entries(commands[kind])) {
    writeFileSync(join(bin, name), `${head}${body}\n`);
    chmodSync(join(bin, name), 0o755);
  }
  const env = { PATH: `${bin}:/usr/bin:/bin`, ...(kind === "sge" ? { SGE_ROOT: "/sge" } : {}) };
  const call = (
    name: string,
    options: readonly string[],
    command: readonly string[],
    more: Record<string, string> = {},
  ) =>
    trainlock(
      [
        name,
        site.grid,
        "--root",
        site.root,
        "--scheduler",
        kind,
        ...done,
        ...options,
        ...(command.length > 0 ? ["--", ...command] : []),
      ],
      {
        env: { ...env, ...more },
        cwd: site.root,
      },
    );
  return {
    ...site,
    state,
    submit: (options: readonly string[], command: readonly string[] = training(site.root), more = {}) =>
      call("submit", options, command, more),
    plan: (options: readonly string[]) => call("plan", options, []),
    why: (name: string) => trainlock(["why", name, "--root", site.root, "--grid", site.grid], { env }),
    states: async () => {
      const { stdout } = await call("plan", ["--json"], []);
      const { rows: planned } = JSON.parse(stdout) as { rows: { name: string; state: string; job: string | null }[] };
      return Object.fromEntries(planned.map((row) => [row.name.split("/")[0], row.state]));
    },
    scripts: () =>
      readdirSync(state)
        .filter((name) => name.endsWith(".sh"))
        .map((name) => join(state, name)),
    /** Runs an element as its scheduler would, and notes that it has ended. */
    runElement: (job: string, index: number) => {
      const script = join(state, `${job}.sh`);
      const result = spawnSync("bash", [script], {
        env: { ...env, HOME: "/", TRAINLOCK_TOKEN: "of another job", ...jobVariables[kind](job, index) },
        cwd: "/",
        encoding: "utf8",
      });
      const file = join(state, `${job}.job`);
      const lines = readFileSync(file, "utf8").split("\n").filter(Boolean);
      const kept = lines.flatMap((line) =>
        !line.startsWith(`${index} `) ? [line] : endedState[kind] === "" ? [] : [`${index} ${endedState[kind]}`],
      );
      writeFileSync(file, kept.map((line) => `${line}\n`).join(""));
      return result;
    },
  };
}

describe.each(kinds)("submit to %s", (kind) => {
  test("elements claim when they start; covered rows are queued, and are submitted once", async () => {
    const site = await siteWith(kind, namesTo(4));
    const first = await site.submit(["--max-running", "2"]);
    expect(first).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^submitted 4 rows as job 100\b.*\n$/) });
    expect(Object.values(await site.states())).toEqual(["queued", "queued", "queued", "queued"]);
    expect(await site.submit(["--quiet"])).toMatchObject({ exitCode: 0, stdout: "", stderr: "" });
    const again = await site.submit([]);
    expect(again).toMatchObject({
      exitCode: 0,
      stdout: expect.stringMatching(/^nothing to submit: 4 queued by \S+ \(job 100.*\)\n$/),
    });
    expect(site.runElement("100", 3)).toMatchObject({ status: 0 });
    expect(site.lines("ran")).toHaveLength(1);
    const { stdout } = await site.submit([]);
    expect(stdout).toMatch(/^nothing to submit: 3 queued by \S+ \(job 100.*\), 1 done\n$/);
    for (const index of [1, 2, 4]) site.runElement("100", index);
    expect(Object.values(await site.states())).toEqual(["done", "done", "done", "done"]);
    expect(site.lines("ran").sort()).toEqual(
      namesTo(4)
        .map((name) => `${name} 1`)
        .sort(),
    );
  });

  test("a scheduler that takes its time is named", async () => {
    const site = await siteWith(kind, namesTo(1));
    const [program = ""] = readdirSync(join(site.root, "bin")).filter((name) => /^(sbatch|bsub|qsub)$/.test(name));
    const path = join(site.root, "bin", program);
    writeFileSync(path, readFileSync(path, "utf8").replace("\n", "\nsleep 3\n"));
    const { exitCode, stderr } = await site.submit([]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: `Waiting for ${program}\n` });
  });

  test("an array is split at the site's limit, each part named; a row's options make an array of its own", async () => {
    const grid = `- { strategy: [${namesTo(7).join(", ")}], dataset: D, model: m }\n- { strategy: big, dataset: D, model: m, submit: ["-l mem=9"] }\n`;
    const site = await siteWith(kind, grid);
    const { stdout, exitCode, stderr } = await site.submit(["--with", "-q long"]);
    expect([exitCode, stderr]).toEqual([0, ""]);
    expect(stdout.replaceAll(/\[\]|\.srv/g, "")).toBe(
      "submitted 5 rows as job 100, part 1 of 3 (-q long)\nsubmitted 2 rows as job 101, part 2 of 3 (-q long)\n" +
        "submitted 1 row as job 102, part 3 of 3 (-l mem=9 -q long)\n",
    );
    expect(site.runElement("102", 1).status).toBe(0);
    expect(site.lines("ran")).toEqual(["big 1"]);
    for (let index = 1; index <= 5; index += 1) site.runElement("100", index);
    expect(site.lines("ran")).not.toContain("big 2");
    expect(Object.values(await site.states()).filter((state) => state === "queued")).toHaveLength(2);
  });

  test("what is left of old submissions goes with a later one, and of no job that may still run", async () => {
    const site = await siteWith(kind, namesTo(5));
    const top = join(site.root, "training_locks", "submit");
    mkdirSync(top, { recursive: true });
    const folders = () =>
      readdirSync(top)
        .filter((name) => /^\d{8}T/.test(name))
        .sort();
    const submitOne = async (isOld: boolean) => {
      const before = folders();
      await site.submit(["--limit", "1"]);
      const folder = folders().find((name) => !before.includes(name)) ?? "";
      const file = join(top, folder, "submission.json");
      const submission = JSON.parse(readFileSync(file, "utf8"));
      if (isOld) writeFileSync(file, JSON.stringify({ ...submission, submittedAt: Date.now() - 8 * 24 * 3_600_000 }));
      return folder;
    };
    const [ended, waiting, young] = [await submitOne(true), await submitOne(true), await submitOne(false)];
    for (const job of ["100", "102"]) expect(site.runElement(job, 1)).toMatchObject({ status: 0 });
    for (const job of ["100", "101", "102"]) writeFileSync(join(top, `${job}_1.out`), "");
    // Of submits that were killed before their record was written.
    const [killed, justBegun] = ["20260101T000000-00000000", "20260101T000000-00000001"];
    for (const name of [killed, justBegun]) mkdirSync(join(top, name));
    utimesSync(join(top, killed), 0, 0);
    await site.submit(["--dry-run"]);
    expect(folders()).toEqual([ended, waiting, young, killed, justBegun].sort());
    const last = await submitOne(false);
    expect(folders()).toEqual([waiting, young, last, justBegun].sort());
    expect(readdirSync(top).filter((name) => name.endsWith("_1.out"))).toEqual(["101_1.out", "102_1.out"]);
    expect(Object.values(await site.states()).filter((state) => state === "queued")).toHaveLength(2);
  });

  test("--max-running holds for all arrays together; what would need more arrays is left for another submit", async () => {
    const grid = `- { strategy: [${namesTo(7).join(", ")}], dataset: D, model: m }\n- { strategy: big, dataset: D, model: m, submit: ["-l mem=9"] }\n`;
    const site = await siteWith(kind, grid);
    const { stdout: dry } = await site.submit(["--dry-run", "--max-running", "6"]);
    const limits = [...dry.matchAll(/(?:\d\]?%|-tc )(\d+)/g)].map(([, limit]) => Number(limit));
    // An array of one element needs no limit.
    expect(limits.slice(0, 2)).toEqual([3, 2]);
    const { exitCode, stdout, stderr } = await site.submit(["--max-running", "2"]);
    expect([exitCode, stdout.match(/^submitted/gm)?.length]).toEqual([0, 2]);
    expect(stderr).toContain("1 row more can be trained: --max-running allows no more than 2 arrays at once");
    expect(Object.values(await site.states()).filter((state) => state === "queued")).toHaveLength(7);
  });

  requiresPrograms("bash", "shellcheck")(
    "scripts are right for bash and shellcheck, and text of a command stays text",
    async () => {
      const site = await siteWith(kind, namesTo(3));
      const odd = [
        "sh",
        "-c",
        'printf "%s\\n" "$1" >"$TRAINLOCK_WEIGHTS_DIR/said"; echo "$(id)" \\ `date` "two\nlines" >/dev/null; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"',
        "it's",
        "$(touch pwned) 'x",
      ];
      const { stdout, exitCode } = await site.submit(["--dry-run", "--with", "-q long"], odd);
      expect(exitCode).toBe(0);
      expect(readdirSync(site.state)).toEqual([]);
      const script = site.write("dry.sh", stdout);
      expect(spawnSync("bash", ["-n", script], { encoding: "utf8" })).toMatchObject({ status: 0, stderr: "" });
      const checked = spawnSync("shellcheck", ["--severity=style", script], { encoding: "utf8" });
      expect(checked.stdout).toBe("");
      expect(stdout).toContain(`exec ${realpathSync(executable)} work `);
      expect(stdout).toContain(`cd ${site.root} || exit 3`);
      await site.submit([], odd);
      expect(site.runElement("100", 1).status).toBe(0);
      const said = namesTo(3)
        .map((name) => join(site.weightsDir(name), "said"))
        .filter((path) => existsSync(path));
      expect(said.map((path) => readFileSync(path, "utf8"))).toEqual(["$(touch pwned) 'x\n"]);
      expect(existsSync(join(site.root, "pwned"))).toBe(false);
    },
  );
});

test("without an answer of the scheduler rows stay covered, until --forget", async () => {
  const site = await siteWith("slurm", namesTo(2));
  await site.submit([]);
  writeFileSync(
    join(site.root, "bin", "squeue"),
    "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1\n",
  );
  expect(Object.values(await site.states())).toEqual(["queued", "queued"]);
  const [folder = ""] = readdirSync(join(site.root, "training_locks", "submit")).filter((name) => /^\d{8}T/.test(name));
  const record = join(site.root, "training_locks", "submit", folder, "submission.json");
  const submission = JSON.parse(readFileSync(record, "utf8"));
  writeFileSync(record, JSON.stringify({ ...submission, submittedAt: submission.submittedAt - 3 * 3_600_000 }));
  const plan = await site.plan([]);
  expect(plan.stdout).toMatch(
    /^queued {3}s1\/d\/m {2}\S+, job 100, submitted 3 h.* ago: its scheduler does not say how it is$/m,
  );
  const again = await site.submit([]);
  expect(again.stdout).toMatch(
    /^nothing to submit: 2 queued by \S+ \(job 100, submitted 3 h.* ago, no answer of its scheduler\)$/m,
  );
  const wrong = await trainlock(["submit", "--root", site.root, "--forget", "999"]);
  expect(wrong).toMatchObject({ exitCode: 2, stderr: expect.stringContaining("999") });
  expect((await trainlock(["submit", "--root", site.root, "--forget", "100"])).exitCode).toBe(0);
  expect(Object.values(await site.states())).toEqual(["free", "free"]);
});

test("rows of a submit that was killed before its scheduler had answered stay queued, and every later one says so", async () => {
  const site = await siteWith("slurm", namesTo(2));
  const path = join(site.root, "bin", "sbatch");
  const own = readFileSync(path, "utf8");
  writeFileSync(path, `#!/bin/bash\nkill -9 $PPID\n`);
  expect((await site.submit([])).exitCode).toBeNull();
  writeFileSync(path, own);
  const plan = await site.plan([]);
  expect(plan.stdout).toMatch(/^queued {3}s1\/d\/m .* ago: whether the scheduler has it is not known$/m);
  const quiet = await site.submit(["--quiet"]);
  expect(quiet).toMatchObject({ exitCode: 0, stdout: "" });
  expect(quiet.stderr).toMatch(
    /^trainlock: whether the scheduler has what \S+ submitted .*: 2 rows of it count as queued\n/,
  );
  const [, forgotten = ""] = /--forget (\S+)/.exec(quiet.stderr) ?? [];
  expect((await site.why("s1/d/m")).stdout).toContain(`trainlock submit --forget ${forgotten}\n`);
  expect((await trainlock(["submit", "--root", site.root, "--forget", forgotten])).exitCode).toBe(0);
  expect(await site.submit([])).toMatchObject({ exitCode: 0, stdout: "submitted 2 rows as job 100\n", stderr: "" });
});

test("a controller that answers too late may have taken the job: its rows are queued, and no refusal is claimed", async () => {
  const site = await siteWith("slurm", namesTo(2));
  const path = join(site.root, "bin", "sbatch");
  const late = "echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2; exit 1";
  writeFileSync(path, `${readFileSync(path, "utf8")}${late}\n`);
  const { exitCode, stdout, stderr } = await site.submit([]);
  expect([exitCode, stdout]).toEqual([3, ""]);
  expect(stderr).toMatch(/^trainlock: whether sbatch has taken the job is not known: .*Socket timed out/);
  expect(stderr).not.toContain("nothing was submitted");
  expect(Object.values(await site.states())).toEqual(["queued", "queued"]);
  expect(site.runElement("100", 1)).toMatchObject({ status: 0 });
  expect(Object.values(await site.states()).sort()).toEqual(["done", "queued"]);
  const [, submission = ""] = /--forget (\S+)/.exec(stderr) ?? [];
  expect((await trainlock(["submit", "--root", site.root, "--forget", submission])).exitCode).toBe(0);
  expect(Object.values(await site.states()).sort()).toEqual(["done", "free"]);
});

test("a root of odd characters is written into the script as the scheduler reads it", async () => {
  const root = join(await temporaryRoot(), `it's "a" b#c`);
  mkdirSync(root);
  const call = ["submit", "--root", root, "--scheduler", "slurm", "--strategy", "s", "--dataset", "d", "--model", "m"];
  const { stdout } = await trainlock([...call, "--dry-run", "--", "true"]);
  // sbatch of Slurm 22.05 was seen to read this as one word; a backslash before a blank ends its word all the same.
  expect(stdout).toContain(`#SBATCH --output="${root.replaceAll('"', '\\"')}/training_locks/submit/%A_%a.out"\n`);
});

test("the output of thousands of elements does not hide what a submission covers", async () => {
  const site = await siteWith("slurm", namesTo(2));
  await site.submit([]);
  for (let index = 0; index < 5100; index += 1)
    writeFileSync(join(site.root, "training_locks", "submit", `100_${index}.out`), "");
  expect(Object.values(await site.states())).toEqual(["queued", "queued"]);
});

test("another cluster's answer says nothing about a submission; jobs that are hidden from us are no end", async () => {
  const site = await siteWith("slurm", namesTo(2));
  await site.submit([]);
  writeFileSync(join(site.state, "100.job"), "");
  const config = join(site.root, "bin", "scontrol");
  const own = readFileSync(config, "utf8");
  writeFileSync(config, own.replace("c1", "c2"));
  expect(Object.values(await site.states())).toEqual(["queued", "queued"]);
  writeFileSync(config, own);
  expect(Object.values(await site.states())).toEqual(["free", "free"]);
});

test("a refusal is repeated in the scheduler's own words, with what went in before it", async () => {
  const grid = `- { strategy: [${namesTo(2).join(", ")}], dataset: D, model: m }\n- { strategy: big, dataset: D, model: m, submit: [--qos=none] }\n`;
  const site = await siteWith("slurm", grid);
  const path = join(site.root, "bin", "sbatch");
  const own = readFileSync(path, "utf8").split("\n");
  const refuse =
    'cat >/tmp/null.$$; t=$(cat /tmp/null.$$); rm /tmp/null.$$; case $t in *qos=none*) echo "sbatch: error: Batch job submission failed: Invalid qos specification" >&2; exit 1;; esac; exec 0<<<"$t"';
  writeFileSync(path, [...own.slice(0, 4), refuse, ...own.slice(4)].join("\n"));
  const { exitCode, stdout, stderr } = await site.submit([]);
  expect(exitCode).toBe(3);
  expect(stdout).toBe("submitted 2 rows as job 100, part 1 of 2\n");
  expect(stderr).toContain("sbatch refused: sbatch: error: Batch job submission failed: Invalid qos specification");
  expect(stderr).toContain("2 rows went in before it, in 1 of 2 arrays");
  expect(await site.states()).toEqual({ s1: "queued", s2: "queued", big: "free" });
  // What went in is in the history, and nothing else.
  const history = (...more: string[]) => trainlock(["history", "--root", site.root, ...more]);
  expect(JSON.parse((await history("--json")).stdout)).toMatchObject({
    runs: 0,
    torn: 0,
    submitted: [{ at: expect.stringMatching(/Z$/), job: "100", name: "tl_grid", rows: 2, user: expect.any(String) }],
  });
  expect((await history("-v")).stdout).toMatch(/^20\S+ \S+ {2}submitted 2 rows as job 100, tl_grid, by \S+\n0 runs, /);
});

test("a queued row is so in text, JSON, TSV and why", async () => {
  const site = await siteWith("slurm", namesTo(1));
  await site.submit([]);
  const text = (await site.plan([])).stdout;
  expect(text).toMatch(/^queued +s1\/d\/m +\S+, job 100\n\nNext: .*\n1 configuration: 1 queued /);
  expect(JSON.parse((await site.plan(["--json"])).stdout).rows).toMatchObject([{ state: "queued", job: "100" }]);
  expect((await site.plan(["--tsv"])).stdout).toMatch(/\ns1\/d\/m\t.*\tqueued\t/);
  const why = await site.why("s1/d/m");
  expect(why.stdout).toMatch(/^queued {2}s1\/d\/m\n.*job 100.*start of that job/s);
});

test.each([
  ["--array=1-9", "is given by submit itself"],
  ["--wrap=id", "would run another program"],
  ["nonsense", "is no option"],
])("--with %s is refused", async (option, why) => {
  const site = await siteWith("slurm", namesTo(1));
  expect(await site.submit([`--with=${option}`])).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(why) });
  expect(readdirSync(site.state)).toEqual([]);
});

test("a worker takes rows that are queued last", async () => {
  const site = await siteWith("slurm", namesTo(6));
  await site.submit(["--limit", "3"]);
  const env = { PATH: `${join(site.root, "bin")}:/usr/bin:/bin` };
  const worker = ["work", site.grid, "--root", site.root, ...done, "--count", "3", "--", ...training(site.root)];
  expect((await trainlock(worker, { env })).exitCode).toBe(0);
  expect(site.lines("ran").sort()).toEqual(["s4 1", "s5 1", "s6 1"]);
  expect(Object.values(await site.states()).filter((state) => state === "queued")).toHaveLength(3);
});

test("without a scheduler it is exit 3, and the way out is named", async () => {
  const site = await workSite(namesTo(1));
  const call = ["submit", site.grid, "--root", site.root, ...done, "--", "true"];
  const { exitCode, stderr } = await trainlock(call, { env: { PATH: "/nowhere" } });
  expect([exitCode, stderr]).toEqual([3, expect.stringContaining("trainlock work")]);
});

test("a row that an element claims while the scheduler is asked is running, and never free", async () => {
  const site = await siteWith("slurm", ["s"]);
  const gate = `until [ -e "${site.root}/go" ]; do sleep 0.05; done;`;
  expect((await site.submit([], training(site.root, gate))).exitCode).toBe(0);
  const noted = () =>
    readdirSync(join(site.root, "training_locks", "submit")).some((name) =>
      existsSync(join(site.root, "training_locks", "submit", name, "taken-1.0")),
    );
  // The scheduler answers when the element has its row: by then a hasty plan has looked at it.
  const squeue = join(site.root, "bin", "squeue");
  renameSync(squeue, `${squeue}.real`);
  const variables = Object.entries(jobVariables.slurm("100", 1)).map(([name, value]) => `${name}=${value}`);
  const script = `#!/bin/bash
if mkdir "${site.root}/once" 2>/dev/null; then
  sleep 0.5
  env ${variables.join(" ")} setsid bash "${site.state}/100.sh" </dev/null >/dev/null 2>&1 &
  until ls "${site.root}"/training_locks/submit/*/taken-1.0; do sleep 0.02; done >/dev/null 2>&1
fi
exec "${squeue}.real" "$@"
`;
  writeFileSync(squeue, script, { mode: 0o755 });
  expect(await site.states()).toEqual({ s: "running" });
  expect(noted()).toBe(true);
  writeFileSync(join(site.root, "go"), "");
  await until("it is done", async () => ((await site.states()).s === "done" ? true : null));
});

test("where all runs of a grid fail nothing is submitted any more; --retry-failed submits each row once more", async () => {
  const site = await siteWith("slurm", namesTo(12));
  writeFileSync(
    join(site.root, "bin", "scontrol"),
    readFileSync(join(site.root, "bin", "scontrol"), "utf8").replace(
      "MaxArraySize            = 6",
      "MaxArraySize            = 1001",
    ),
  );
  const typo = ["sh", "-c", `echo "$TRAINLOCK_STRATEGY" >>"${site.root}/ran"; exit 2`];
  expect((await site.submit([], typo)).exitCode).toBe(0);
  for (let index = 1; index <= 12; index += 1) site.runElement("100", index);
  expect(site.lines("ran")).toHaveLength(10);
  const cron = await site.submit(["--quiet"]);
  expect(cron).toMatchObject({
    exitCode: 3,
    stdout: "",
    stderr: expect.stringMatching(/\n {2}nothing is started; mend/),
  });
  expect((await site.submit(["--retry-failed"], typo)).stdout).toBe("submitted 12 rows as job 101\n");
  expect((await site.submit(["--retry-failed"], typo)).stdout).toMatch(/^nothing to submit: 12 queued by /);
  for (let index = 1; index <= 5; index += 1) site.runElement("101", index);
  // None was tried by two elements, whichever they chose.
  expect(new Set(site.lines("ran").slice(10)).size).toBe(5);
  writeFileSync(join(site.state, "101.job"), "");
  expect((await site.submit(["--retry-failed"])).stdout).toBe("submitted 12 rows as job 102\n");
  for (let index = 1; index <= 12; index += 1) site.runElement("102", index);
  expect(Object.values(await site.states())).toEqual(Array(12).fill("done"));
  expect(site.lines("ran")).toHaveLength(10 + 5 + 12);
});
