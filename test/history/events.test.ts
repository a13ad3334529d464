import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { dirname, join, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { holder, runtimes } from "../library/library-program.ts";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { heldByFlock } from "../support/held-by-flock.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { trace } from "../support/strace.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, holdWithLastingCommand, holdWithRun, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

/** Mounts a file server that takes every question and answers none, runs a command meanwhile, and says how it ended. */
const silentServer = `
import ctypes, os, struct, subprocess, sys, threading
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
assert ctypes.CDLL(None, use_errno=True).mount(b"none", sys.argv[1].encode(), b"fuse", 0, options) == 0
question = os.read(fuse, 1 << 18)
unique = struct.unpack_from("<IIQ", question)[2]
os.write(fuse, struct.pack("<IiQ", 80, 0, unique) + struct.pack("<IIIIHHI", 7, 31, 65536, 0, 12, 10, 65536).ljust(64, b"\\0"))
threading.Thread(target=lambda: [os.read(fuse, 1 << 18) for _ in range(9)], daemon=True).start()
ended = subprocess.run(sys.argv[2:])
print("ended with", ended.returncode, end=", while the server was silent\\n", flush=True)
os._exit(0)
`;

/** On a machine that is busy with other things an event may miss its 250 ms, as it is meant to. */
const inTime = { retry: 4 };

const here = async () => configuration(await temporaryRoot());
const historyOf = (of: TestConfiguration) => join(of.lockDir, "history");
const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8);

function eventFile(of: TestConfiguration): string {
  const month = new Date().toISOString().slice(0, 7);
  return join(historyOf(of), `${hostname()}-${process.getuid?.()}`, `${month}-${boot}.jsonl`);
}

function eventsOf(of: TestConfiguration): Record<string, unknown>[] {
  const lines = readFileSync(eventFile(of), "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line));
}

const namesOf = (of: TestConfiguration) => eventsOf(of).map(({ event }) => event);
const run = (of: TestConfiguration, ...command: string[]) => trainlock(["run", ...of.args, "--", ...command]);

describe("what happens is noted, by whom and when", inTime, () => {
  test("a run: claimed and ended, with what is needed to tell it from every other", async () => {
    const of = await here();
    await trainlock(["run", ...of.args, "--", "sh", "-c", "exit 3", "--token", "s3cr3t"], {
      env: { SLURM_JOB_ID: "4711", CUDA_VISIBLE_DEVICES: "0,3" },
    });
    const [claimed, ended] = eventsOf(of);
    expect(claimed).toMatchObject({
      ...{ event: "claimed", generation: 1, name: of.name, host: hostname(), job: "4711", gpus: 2, attempt: 1 },
      command: ["sh", "-c", "exit 3", "--token", "***"],
    });
    expect(ended).toMatchObject({ event: "ended", end: "failed", exit: 3, attempts: 1, token: claimed?.token });
    expect(statSync(eventFile(of)).mode & 0o022).toBe(0);
  });

  test("one that is turned away, once for a job and a holder; one that finds it trained, once for a job", async () => {
    const of = await here();
    const holder = await holdWithRun(of.args);
    const env = { LSB_JOBID: "12" };
    for (const job of [env, env, { LSB_JOBID: "13" }]) await trainlock(["run", ...of.args, "--", "true"], { env: job });
    holder.closeInput();
    await holder.finished;
    writeFileSync(join(of.weightsDir, "last.pth"), Buffer.alloc(2000));
    for (const job of [env, env])
      await trainlock(["run", ...of.args, "--done-when", "last.pth", "--", "true"], { env: job });
    expect(namesOf(of)).toEqual(["claimed", "refused", "refused", "ended", "skipped"]);
    expect(eventsOf(of)[1]).toMatchObject({ job: "12", holder: { pid: holder.pid, generation: holder.generation } });
  });

  test("a killed run is taken over, with the evidence; a lost lock is lost, and the run interrupted", async () => {
    const of = await here();
    const holder = await holdWithLastingCommand([...of.args, "--check-every", "1s"]);
    await until("it is noted", () => (readFileSync(of.kernelLock, "utf8").includes('child_pid": null') ? null : true));
    await until("it is in the history", () => statSync(eventFile(of), { throwIfNoEntry: false })?.size || null);
    holder.kill("SIGKILL");
    process.kill(holder.commandPid, "SIGKILL");
    await holder.finished;
    const next = await holdWithLastingCommand([...of.args, "--check-every", "1s"]);
    unlinkSync(of.marker);
    writeFileSync(of.marker, `${process.pid}\n`);
    expect((await next.finished).exitCode).toBe(74);
    const events = eventsOf(of);
    expect(namesOf(of)).toEqual(["claimed", "taken-over", "claimed", "lost", "ended"]);
    expect(events[1]).toMatchObject({ of: events[0]?.token, from: { pid: holder.pid, generation: 1 } });
    expect(String(events[1]?.evidence)).not.toBe("");
    expect(events.at(-1)).toMatchObject({ end: "interrupted", token: events[2]?.token });
  });

  test("a run that cannot be started, for whatever reason, has an end; what is the command's fault is no attempt", async () => {
    const of = await here();
    mkdirSync(of.weightsDir, { recursive: true });
    const text = join(of.root, "text");
    writeFileSync(text, "no program\n");
    for (const command of [join(of.root, "nowhere"), text, of.root]) await run(of, command);
    // No log can be written: not the command's fault.
    writeFileSync(join(of.weightsDir, "trainlock-logs"), "");
    await trainlock(["work", ...of.args, "--", "true"]);
    expect(namesOf(of)).toEqual(Array(4).fill(["claimed", "ended"]).flat());
    const ends = eventsOf(of).filter(({ event }) => event === "ended");
    expect(ends.map(({ end, exit, attempts }) => [end, exit, attempts])).toEqual([
      ["failed", 127, 0],
      ["failed", 126, 0],
      ["failed", 126, 0],
      ["interrupted", null, 0],
    ]);
    const { rows } = JSON.parse((await trainlock(["history", "--root", of.root, "--json"])).stdout);
    expect(rows[3]).toMatchObject({ state: "interrupted", evidence: [expect.stringContaining("trainlock-logs")] });
  });

  test.each(Object.entries(runtimes))("what a program does with the library, on %s", async (_, runtime) => {
    const { of, tell } = await holder(runtime);
    expect(await tell("acquire")).toBe("acquired");
    await run(of, "true");
    expect(await tell("release")).toBe("released");
    const other = await holdWithRun(of.args);
    for (const answer of ["busy", "busy"]) expect(await tell("acquire")).toBe(answer);
    other.closeInput();
    await other.finished;
    expect(await tell("wait")).toBe("acquired");
    expect(await tell("release")).toBe("released");
    expect(namesOf(of)).toEqual("claimed refused ended claimed refused ended claimed ended".split(" "));
    expect(eventsOf(of)[0]).toMatchObject({ name: of.name, host: hostname(), command: expect.any(Array) });
    const { rows } = JSON.parse((await trainlock(["history", "--root", of.root, "--json"])).stdout);
    expect(rows.map(({ state }: { state: string }) => state)).toEqual(["no-end", "done", "no-end"]);
  });

  test("a lock that a program has handed over to the command that it spawned is one run with it", async () => {
    const of = await here();
    const program = [
      resolve("test/library/spawner.mjs"),
      resolve("dist/lib/index.js"),
      of.root,
      "held",
      "sh",
      "-c",
      "exit 3",
    ];
    await finish(process.execPath, program, { env: environment(), timeoutMs: 60_000 });
    expect(namesOf(of).filter((event) => event === "ended")).toHaveLength(2);
    const { rows } = JSON.parse((await trainlock(["history", "--root", of.root, "--json"])).stdout);
    expect(rows).toMatchObject([{ generation: 2, state: "failed", exit: 3, command: ["sh", "-c", "exit 3"] }]);
  });

  test("what clear has removed", async () => {
    const of = await here();
    mkdirSync(of.weightsDir, { recursive: true });
    writeFileSync(of.marker, "4194000\n");
    expect((await trainlock(["clear", "--root", of.root])).exitCode).toBe(0);
    expect(existsSync(historyOf(of))).toBe(false);
    await trainlock(["clear", "--root", of.root, "--force", "--no-dry-run"]);
    expect(eventsOf(of)).toMatchObject([
      { event: "cleared", name: of.name, path: of.marker, holder: { pid: 4194000 } },
    ]);
  });

  test("history: off keeps none", async () => {
    const of = await here();
    writeFileSync(join(of.root, "trainlock.yaml"), "history: off\n");
    await run(of, "true");
    expect(existsSync(historyOf(of))).toBe(false);
  });

  test("an event with a command of megabytes is one line of less than 4 KiB", async () => {
    const of = await here();
    await run(of, "true", ...Array.from({ length: 200 }, (_, nth) => `${nth}é"`.repeat(200)));
    const lines = readFileSync(eventFile(of), "utf8").split("\n");
    expect(lines).toHaveLength(3);
    for (const line of lines) expect(Buffer.byteLength(line)).toBeLessThan(4096);
    expect(namesOf(of)).toEqual(["claimed", "ended"]);
  });

  test("many at once lose none, but where the time was too short, which is said", async () => {
    const of = await here();
    const all = Array.from({ length: 12 }, (_, nth) => configuration(of.root, `s${nth}`));
    const runs = await Promise.all(all.map(async (each) => ({ name: each.name, ...(await run(each, "true")) })));
    const inTime = runs.filter(({ stderr }) => !stderr.includes("did not answer within 250 ms"));
    expect(inTime.map(({ stderr }) => stderr)).toEqual(inTime.map(() => ""));
    const seen = new Set(eventsOf(of).map(({ event, name }) => `${name} ${event}`));
    const missing = inTime
      .flatMap(({ name }) => [`${name} claimed`, `${name} ended`])
      .filter((each) => !seen.has(each));
    expect(missing).toEqual([]);
  });
});

describe("a torn line", inTime, () => {
  test("is left as it is, and the next event begins a new one", async () => {
    const of = await here();
    await run(of, "true");
    appendFileSync(eventFile(of), '{"at":"2026-');
    await run(of, "true");
    const lines = readFileSync(eventFile(of), "utf8").split("\n");
    expect(lines).toHaveLength(6);
    expect(lines[2]).toBe('{"at":"2026-');
    expect(JSON.parse(lines[3] ?? "")).toMatchObject({ event: "claimed", generation: 2 });
  });
});

describe("what is in the way of the history delays and fails nothing, and is said once", inTime, () => {
  const planted: [string, (of: TestConfiguration, file: string) => void][] = [
    ["a file in the place of its folder", (of) => writeFileSync(historyOf(of), "")],
    ["a dangling link in the place of its file", (_, file) => symlinkSync("/nowhere/x", file)],
    ["a link to somebody's file", (of, file) => symlinkSync(join(of.root, "precious"), file)],
    ["another name of somebody's file", (of, file) => linkSync(join(of.root, "precious"), file)],
    ["a folder in the place of its file", (_, file) => mkdirSync(file)],
  ];
  test.each(planted)("%s", async (_, plant) => {
    const of = await here();
    const precious = join(of.root, "precious");
    writeFileSync(precious, "precious");
    await run(of, "true");
    const file = eventFile(of);
    renameSync(file, `${file}.away`);
    if (_ === "a file in the place of its folder") renameSync(historyOf(of), join(of.root, "away"));
    plant(of, file);
    const { exitCode, stderr } = await run(of, "sh", "-c", "exit 7");
    expect(exitCode).toBe(7);
    expect(stderr.match(/the history is not complete/g)).toHaveLength(1);
    expect(readFileSync(precious, "utf8")).toBe("precious");
  });

  requiresPrograms("root")("a file of another user", async () => {
    const of = await here();
    await run(of, "true");
    const file = eventFile(of);
    chownSync(file, 4242, 4242);
    chmodSync(file, 0o666);
    const size = statSync(file).size;
    expect((await run(of, "sh", "-c", "exit 7")).stderr.match(/the history is not complete/g)).toHaveLength(1);
    expect(statSync(file).size).toBe(size);
  });

  requiresPrograms("root", "unshare --mount")("a full disk", async () => {
    const of = await here();
    await run(of, "true");
    const folder = historyOf(of);
    const script = `mount -t tmpfs -o size=64k none ${folder} && mkdir ${dirname(eventFile(of))} &&
      { dd if=/dev/zero of=${folder}/filling bs=4k count=99 2>/dev/null; true; } && exec "$@"`;
    const command = [executable, "run", ...of.args, "--", "sh", "-c", "exit 7"];
    const { exitCode, stderr } = await finish("unshare", ["--mount", "sh", "-c", script, "sh", ...command], {
      env: environment(),
    });
    expect(stderr.match(/the history is not complete/g)).toHaveLength(1);
    expect(exitCode).toBe(7);
  });

  requiresPrograms(
    "root",
    "python3",
    "unshare --mount",
  )("a file server that does not answer", async () => {
    const of = await here();
    await run(of, "true");
    const command = [executable, "run", ...of.args, "--", "sh", "-c", "exit 7"];
    const { exitCode, stdout, stderr } = await finish(
      "unshare",
      ["--mount", "python3", "-c", silentServer, historyOf(of), ...command],
      { env: environment() },
    );
    expect(stderr.match(/did not answer within 250 ms/g)).toHaveLength(1);
    expect([exitCode, stdout]).toEqual([0, "ended with 7, while the server was silent\n"]);
  });

  requiresPrograms(
    "root",
    "bindfs",
    "unshare --mount",
  )("a file server that is slow for a moment, and then has all of it", async () => {
    const of = await here();
    await run(of, "true");
    const folder = historyOf(of);
    const script = `bindfs -f ${folder} ${folder} & server=$!; until mountpoint -q ${folder}; do sleep 0.02; done
      kill -STOP $server; "$@"; code=$?; kill -CONT $server
      for _ in $(seq 50); do [ $(wc -l <${eventFile(of)}) = 4 ] && break; sleep 0.1; done
      umount ${folder}; exit $code`;
    const command = [executable, "run", ...of.args, "--", "sh", "-c", "exit 7"];
    const { exitCode, stderr } = await finish(
      "unshare",
      ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", script, "sh", ...command],
      {
        env: environment(),
      },
    );
    expect([exitCode, stderr.match(/did not answer within 250 ms/g)?.length]).toEqual([7, 1]);
    expect(namesOf(of)).toEqual(["claimed", "ended", "claimed", "ended"]);
  });

  requiresPrograms("flock")("a lock that somebody keeps on its file", async () => {
    const of = await here();
    await run(of, "true");
    const before = readFileSync(eventFile(of));
    const held = await heldByFlock(eventFile(of), before);
    const { exitCode, stderr } = await run(of, "sh", "-c", "exit 7");
    expect(exitCode).toBe(7);
    expect(stderr.match(/did not answer within 250 ms/g)).toHaveLength(1);
    held.closeInput();
    await held.finished;
    expect(readFileSync(eventFile(of))).toEqual(before);
  });
});

requiresPrograms("unshare --mount")("two hosts of one name never write one file", async () => {
  const of = await here();
  await run(of, "true");
  const other = join(of.root, "boot_id");
  writeFileSync(other, "ffffffff-0000-4000-8000-000000000000\n");
  const script = `mount --bind ${other} /proc/sys/kernel/random/boot_id && exec "$@"`;
  const command = [executable, "run", ...configuration(of.root, "other").args, "--", "true"];
  const { exitCode } = await finish("unshare", ["--mount", "sh", "-c", script, "sh", ...command], {
    env: environment(),
  });
  expect(exitCode).toBe(0);
  const files = readdirSync(dirname(eventFile(of))).map((name) => name.slice("2026-11-".length));
  expect(files.sort()).toEqual([`${boot}.jsonl`, "ffffffff.jsonl"].sort());
  expect(namesOf(of)).toEqual(["claimed", "ended"]);
});

describe("a crash", inTime, () => {
  requiresPrograms("strace")(
    "a run that is killed at any call of the writer leaves at most a torn line, and no event of another is lost",
    async () => {
      const of = await here();
      const other = configuration(of.root, "other");
      await run(of, "true");
      const paths = [eventFile(of), dirname(eventFile(of)), historyOf(of)];
      const command = ["run", ...of.args, "--", "true"];
      const calls = (await trace(command, { paths })).calls.filter(({ name }) => name !== "exit_group");
      const points = [...new Set(calls.map(({ name, nth }) => `${name}:signal=SIGKILL:when=${nth}`))];
      expect(points.length).toBeGreaterThan(5);
      let killed = 0;
      for (const inject of points) {
        killed += (await trace(command, { paths, inject })).signal === "SIGKILL" ? 1 : 0;
        expect((await run(other, "true")).stderr).toBe("");
      }
      expect(killed).toBeGreaterThan(points.length / 2);
      const events = readFileSync(eventFile(of), "utf8").split("\n").flatMap(parsed);
      const ofOther = events.filter(({ name }) => name === other.name).map(({ event }) => event);
      expect(ofOther).toEqual(points.flatMap(() => ["claimed", "ended"]));
    },
  );
});

function parsed(line: string): Record<string, unknown>[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return [];
  }
}
