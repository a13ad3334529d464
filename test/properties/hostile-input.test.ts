import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { makeExamine } from "../../src/evidence/examine.ts";
import { gather } from "../../src/evidence/gather.ts";
import { judge } from "../../src/evidence/judge.ts";
import { parseHostAnswer } from "../../src/evidence/remote/host-answer.ts";
import { hostScript } from "../../src/evidence/remote/host-script.ts";
import { remoteOptionsOf } from "../../src/evidence/remote/options.ts";
import { recordedOnHost } from "../../src/evidence/remote/recorded-on-host.ts";
import { jobEvidence } from "../../src/evidence/schedulers/job-evidence.ts";
import { lsf, parseBjobsDelimited, parseBjobsJson } from "../../src/evidence/schedulers/lsf.ts";
import { parseQstatJson, pbs } from "../../src/evidence/schedulers/pbs.ts";
import { parseSqueue, slurm } from "../../src/evidence/schedulers/slurm.ts";
import { parseConfiguration } from "../../src/model/configuration.ts";
import { TrainlockError } from "../../src/model/errors.ts";
import type { KernelLockState, LockFacts } from "../../src/model/lock-facts.ts";
import { parseOwnerRecord } from "../../src/model/parse-owner-record.ts";
import { serializeOwnerRecord } from "../../src/model/serialize-owner-record.ts";
import { declaredLayout } from "../../src/site/declared-layout.ts";
import { siteFileTemplate } from "../../src/site/initial-site-file.ts";
import { emptySiteConfig } from "../../src/site/site-config.ts";
import { parseSiteFile } from "../../src/site/site-file.ts";
import { asReleased, isSignedOff, newOwnerRecord, withChild, withSection } from "../../src/stores/claim-record.ts";
import { readMarker } from "../../src/stores/folder/read-marker.ts";
import { thisHost } from "../../src/system/processes/this-host.ts";
import { recordedJob } from "../evidence/answers.ts";
import { hostName } from "../support/host-name.ts";
import { tally } from "../support/tally.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { anything, Dice, mutate, onTheWay } from "./mutations.ts";

const soak = process.env.TRAINLOCK_SOAK === "1";
const cases = Number(process.env.TRAINLOCK_FUZZ ?? (soak ? 100_000 : 1500));
const firstSeed = Number(process.env.TRAINLOCK_FUZZ_SEED ?? 1);

/** Each case with dice of its own; a failure names its seed. */
async function play(
  name: string,
  one: (dice: Dice, seed: number) => string | null | Promise<string | null>,
): Promise<void> {
  for (let seed = firstSeed; seed < firstSeed + cases; seed += 1) {
    const fault = await one(new Dice(seed), seed);
    if (fault !== null) expect.fail(`${name}, TRAINLOCK_FUZZ_SEED=${seed}: ${fault}`);
  }
  tally({ rounds: cases });
}

const configuration = parseConfiguration({ strategy: "s", dataset: "D", model: "m", ratio: 0.5 });
const nobody = remoteOptionsOf({ ...emptySiteConfig, scheduler: "none" });

/** The record of a claim that lives: of this process as wrapper, or as the command of a wrapper that is gone. */
function livingRecord(asCommand: boolean, weightsDir: string) {
  const claim = { configuration, token: "0123456789abcdef0123456789abcdef", generation: 7, lockInode: 70n, weightsDir };
  const record = withSection(newOwnerRecord({ ...claim, command: ["python", "train.py"] }), { markerInode: 71n });
  return asCommand ? { ...withChild(record, process.pid), pid: 4_194_303 } : record;
}

test("records: whoever is held is active, whoever is named and lives is not stale, whoever cannot be read neither", async () => {
  const root = await temporaryRoot();
  const lockPath = join(root, "x.lock");
  writeFileSync(lockPath, "");
  const bases = [false, true].map((asCommand) => {
    const record = livingRecord(asCommand, root);
    return { record, text: serializeOwnerRecord(record).toString("latin1") };
  });
  const states: readonly KernelLockState[] = [
    { state: "held" },
    { state: "absent" },
    { state: "none" },
    { state: "unknown", why: "EIO" },
  ];
  await play("record", async (dice) => {
    const { record: base, text } = dice.pick(bases);
    const bytes = Buffer.from(mutate(text, dice, anything), "latin1");
    const reading = parseOwnerRecord(bytes);
    const kernelLock = dice.pick(states);
    const record = reading.kind === "record" ? reading.record : null;
    const facts: LockFacts = {
      kind: "fcntl",
      name: "s/d/m",
      path: lockPath,
      lockPath,
      weightsDir: root,
      kernelLock,
      record,
      recordProblem: reading.kind === "unreadable" ? reading : null,
      marker: null,
      pid: record?.pid ?? null,
      startedAt: record?.acquiredAt ?? null,
    };
    const verdict = judge(await gather(facts));
    const { status } = (await makeExamine(nobody)(facts)).verdict;
    if (kernelLock.state === "held" && status !== "active") return `held, and ${status}: ${bytes}`;
    if (verdict.status === "stale" && status !== "stale")
      return `two answers, ${verdict.status} and ${status}: ${bytes}`;
    if (reading.kind !== "record") return status === "stale" ? `unreadable, and stale: ${bytes}` : null;
    const identity = ["bootId", "pidNamespace", "startTimeTicks", "childPid", "childStartTimeTicks"] as const;
    const isNamed =
      record?.pid === base.pid && identity.every((key) => record?.trainlock?.[key] === base.trainlock?.[key]);
    if (isNamed && !isSignedOff(reading) && status !== "active") return `lives, and ${status}: ${bytes}`;
    serializeOwnerRecord(asReleased(reading.record));
    return null;
  });
}, 3_600_000);

test("markers: only a number that no process has is stale", async () => {
  const root = await temporaryRoot();
  const path = join(root, ".training_lock");
  const examine = makeExamine(nobody);
  await play("marker", async (dice) => {
    const bytes = Buffer.from(mutate(`${dice.pick([process.pid, process.ppid, 1])}\n`, dice), "latin1");
    writeFileSync(path, bytes);
    const marker = readMarker(root);
    if (marker === null) return "not seen";
    const facts: LockFacts = {
      kind: "file",
      name: "s/d/m",
      path,
      lockPath: join(root, "x.lock"),
      weightsDir: root,
      kernelLock: { state: "absent" },
      record: null,
      recordProblem: null,
      marker,
      pid: marker.pid,
      startedAt: null,
    };
    const { status } = (await examine(facts)).verdict;
    if (status !== "stale") return null;
    if (marker.pid === null) return `no PID, just written, and stale: ${bytes.toString("hex")}`;
    // One that lives and cannot have written it, such as a thread or an older PID's successor, may be stale; ourselves not.
    return marker.pid === process.pid ? `our own PID, and stale: ${bytes.toString("hex")}` : null;
  });
}, 3_600_000);

test("site files: a mistake with its place, or paths within the root", async () => {
  const text = siteFileTemplate.replace(/^# (?=[a-z-]| {2})/gm, "").replace(/^store:[\s\S]*$/m, "");
  await play("site file", (dice) => {
    const yaml = mutate(text, dice);
    try {
      const site = parseSiteFile(yaml, "trainlock.yaml");
      const layout = declaredLayout("/root", "/root/locks", site);
      for (const path of [layout.weightsDir(configuration), layout.kernelLockPath(configuration)]) {
        if (!path.startsWith("/root/") || path.split("/").includes("..")) return `leads to ${path}: ${yaml}`;
      }
    } catch (error) {
      if (!(error instanceof TrainlockError) || error.exitCode !== 2) return `${error}: ${yaml}`;
    }
    return null;
  });
}, 3_600_000);

const squeue = [
  "123456 |1000|alice|RUNNING|2026-01-12T16:00:00|2026-01-12T16:40:00|2026-01-13T16:40:00|0|node01|node[01-02]|",
  "987650 |1000|alice|COMPLETED|2026-01-12T15:00:00|2026-01-12T15:40:00|2026-01-12T16:10:00|0|node03|node03|",
  "789012 |0|root|FAILED|2026-01-12T15:00:00|2026-01-12T15:40:00|2026-01-12T16:10:00|0|node03|node03|",
].join("\n");
const row = (id: string, stat: string) => ({
  JOBID: id,
  STAT: stat,
  USER: "alice",
  EXEC_HOST: "node01",
  START_TIME: "Jan 12 16:40",
});
/** Lists in JSON on one line: who moves lines of them forges. */
const answers = [
  { probe: slurm, text: squeue, parse: parseSqueue },
  {
    probe: lsf,
    text: JSON.stringify({
      COMMAND: "bjobs",
      JOBS: 3,
      RECORDS: [row("123456", "RUN"), row("987650", "DONE"), row("789012", "EXIT")],
    }),
    parse: (text: string) => parseBjobsJson(text) ?? [],
  },
  { probe: lsf, text: "123456|0|RUN|alice|node01|-|-|-\n987650|0|DONE|alice|node01|-|-|-", parse: parseBjobsDelimited },
  {
    probe: pbs,
    text: JSON.stringify({
      pbs_version: "2022.1.1",
      Jobs: {
        "123456.server": { job_state: "R", Job_Owner: "alice@login", exec_host: "node01/0" },
        "987650.server": { job_state: "F", Job_Owner: "alice@login", exec_host: "node03/0" },
      },
    }),
    parse: (text: string) => parseQstatJson(text) ?? [],
  },
];

test("schedulers: no answer that ends early, or has noise in it, ends a job that runs", async () => {
  const job = recordedJob({ id: "123456" });
  for (const { probe, text, parse } of answers)
    expect(jobEvidence(probe, job, parse(text))).toMatchObject([{ says: "alive" }]);
  await play("scheduler", (dice) => {
    const { probe, text, parse } = dice.pick(answers);
    const mutated = mutate(text, dice, onTheWay);
    const found = jobEvidence(probe, job, parse(mutated));
    return found.some(({ says }) => says === "dead") ? `${probe.kind} ends it: ${mutated}` : null;
  });
}, 3_600_000);

test("ssh: an answer that ends early is none, and noise ends no process that runs", async () => {
  const record = livingRecord(false, "/w");
  const section = record.trainlock;
  if (section === null) throw new Error("a record of ours has a section");
  const wish = {
    pids: [process.pid],
    containers: true,
    namespaces: [],
    tokens: [section.token ?? ""],
    users: [],
    folders: [],
    locks: [],
  };
  const text = execFileSync("/bin/sh", ["-s"], { input: hostScript(wish), encoding: "utf8" });
  const host = hostName(thisHost().hostname);
  const owner = {
    kind: "recorded",
    host,
    pid: process.pid,
    section,
    writtenAtMs: Date.now(),
    otherHosts: [],
    noted: [],
    weightsDir: null,
    user: null,
    lock: null,
  } as const;
  const says = (answer: string) => {
    const parsed = parseHostAnswer(answer);
    return parsed === null
      ? "silent"
      : recordedOnHost(owner, { kind: "answer", answer: parsed, askedAt: Date.now(), tookMs: 1 }).says;
  };
  expect(says(text)).toBe("alive");
  await play("ssh", (dice) => {
    const all = text.split("\n");
    for (let times = dice.below(4); times > 0; times -= 1) {
      const noise = dice.pick([
        "Last login: today",
        "trainlock-probe",
        "trainlock-probe nonsense 1 2",
        "\u001b[0m",
        "pid 1 2 3",
        "",
      ]);
      all.splice(dice.below(all.length + 1), 0, mutate(noise, dice));
    }
    const noisy = all.join("\n");
    const answer = dice.below(2) === 0 ? noisy : noisy.slice(0, dice.below(noisy.length));
    return says(answer) === "dead" ? `dead by ${JSON.stringify(answer)}` : null;
  });
}, 3_600_000);
