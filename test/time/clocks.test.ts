import { existsSync, readFileSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { configuration, type TestConfiguration, writeMarker } from "../support/configuration.ts";
import { noclobberJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { leaveDeadJobsMarker, leaveStaleClaim, leftovers, listed } from "../support/scenarios.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithRun, run, trainlock } from "../support/trainlock.ts";

const day = 24 * 3600;
const steps = [
  { title: "a day ago", seconds: -day },
  { title: "an hour ago", seconds: -3600 },
  { title: "in an hour", seconds: 3600 },
  { title: "in a day", seconds: day },
];

/** What a step of the clock does to a file that was there before: the file seems that much older or younger. */
function shift(path: string, seconds: number): void {
  const { mtimeMs } = statSync(path);
  utimesSync(path, mtimeMs / 1000 + seconds, mtimeMs / 1000 + seconds);
}

const statusOf = async (of: TestConfiguration) =>
  (await listed(join(of.lockDir, "..")))
    .filter(({ path }) => path === of.marker || path === of.kernelLock)
    .map(({ status }) => status);

const run1 = (of: TestConfiguration) => trainlock(["run", ...of.args, "--", "true"]);

/** Nothing lets go of it: neither a claim, nor the old job's neighbour, nor the one who tidies up. */
async function staysTaken(of: TestConfiguration): Promise<void> {
  expect(await statusOf(of)).not.toContain("stale");
  expect(await run1(of)).toMatchObject({ exitCode: 75 });
  const root = join(of.lockDir, "..");
  expect(await trainlock(["clear", "--root", root, "--no-dry-run"])).toMatchObject({ exitCode: 0 });
  expect(existsSync(of.marker)).toBe(true);
}

describe("a clock that was set", () => {
  test.each(steps)("a living claim, its files seemingly written $title", async ({ seconds }) => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    for (const path of [of.marker, of.markerRecord, of.kernelLock]) shift(path, seconds);
    await staysTaken(of);
    expect(await statusOf(of)).toEqual(["active", "active"]);
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
    expect(leftovers(of)).toEqual([]);
  });

  test.each(steps)("only its marker seemingly written $title, not the record beside it", async ({ seconds }) => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    shift(of.marker, seconds);
    await staysTaken(of);
    holder.closeInput();
    expect(await holder.finished).toMatchObject({ exitCode: 0 });
    expect(leftovers(of)).toEqual([]);
    expect(await run1(of)).toMatchObject({ exitCode: 0 });
  });

  requiresPrograms("bash")(
    "an old job's bare marker, seemingly written before the job began or in the future",
    async () => {
      for (const { seconds } of steps) {
        const of = configuration(await temporaryRoot());
        const job = noclobberJob.start(of);
        await job.waitFor("HELD");
        shift(of.marker, seconds);
        // A marker older than its process cannot be that process's, unless the clock was set in between. Only if it has kept
        // still since boot may the PID's owner be called another one; a marker that is younger, or from the future, is its.
        if (seconds > 0) await staysTaken(of);
        else expect(await statusOf(of)).toHaveLength(1);
        job.closeInput();
        await job.finished;
      }
    },
  );

  test.each(steps)("a dead claim, its files seemingly written $title, is taken over", async ({ seconds }) => {
    const of = configuration(await temporaryRoot());
    await leaveStaleClaim(of);
    for (const path of [of.marker, of.markerRecord, of.kernelLock]) shift(path, seconds);
    expect(await statusOf(of)).toEqual(["stale", "stale"]);
    expect(await run1(of)).toMatchObject({ exitCode: 0 });
    expect(leftovers(of)).toEqual([]);
  });

  requiresPrograms("a local file system and the initial PID namespace")(
    "a dead job's marker from the future is dead",
    async () => {
      const of = configuration(await temporaryRoot());
      await leaveDeadJobsMarker(of);
      shift(of.marker, day);
      expect(await statusOf(of)).toEqual(["stale"]);
      expect(await run1(of)).toMatchObject({ exitCode: 0 });
    },
  );

  test("an empty marker from the future is being created, not dead", async () => {
    const of = configuration(await temporaryRoot());
    await writeMarker(of, "");
    shift(of.marker, day);
    await staysTaken(of);
  });
});

describe("another boot", () => {
  const changed = async (of: TestConfiguration, change: (record: string) => string) => {
    for (const path of [of.kernelLock, of.markerRecord]) {
      const { mtimeMs } = statSync(path);
      writeFileSync(path, change(readFileSync(path, "utf8")));
      utimesSync(path, mtimeMs / 1000 + 1, mtimeMs / 1000 + 1);
    }
  };
  const otherBoot = (record: string) =>
    record.replace(/"boot_id": "[0-9a-f-]+"/, '"boot_id": "00000000-0000-4000-8000-000000000000"');

  test("the kernel lock is held: it lives, whatever boot the record tells of", async () => {
    const of = configuration(await temporaryRoot());
    const holder = await holdWithRun(of.args);
    await changed(of, otherBoot);
    expect(await statusOf(of)).toEqual(["active", "active"]);
    expect(await run1(of)).toMatchObject({ exitCode: 75 });
    holder.closeInput();
    await holder.finished;
  });

  requiresPrograms("a local file system and the initial PID namespace")(
    "a claim of this host from before its last boot is taken over",
    async () => {
      const of = configuration(await temporaryRoot());
      await leaveStaleClaim(of);
      await changed(of, otherBoot);
      expect(await statusOf(of)).toEqual(["stale", "stale"]);
      expect(await run1(of)).toMatchObject({ exitCode: 0 });
      expect(leftovers(of)).toEqual([]);
    },
  );

  requiresPrograms("a local file system and the initial PID namespace")(
    "even where its PID and start time fit a process that lives now",
    async () => {
      const of = configuration(await temporaryRoot());
      await leaveStaleClaim(of);
      const startTime = readFileSync("/proc/self/stat", "latin1")
        .replace(/^.*\) /s, "")
        .split(" ")[19];
      writeFileSync(of.marker, `${process.pid}\n`);
      await changed(of, (record) =>
        otherBoot(record)
          .replace(/"pid": \d+/, `"pid": ${process.pid}`)
          .replace(/"start_time_ticks": \d+/, `"start_time_ticks": ${startTime}`),
      );
      expect(await statusOf(of)).toEqual(["stale", "stale"]);
      expect(await run1(of)).toMatchObject({ exitCode: 0 });
    },
  );
});

describe("process numbers that come round again", () => {
  /** In a PID namespace with few numbers, the number of a dead claim is soon another process's. */
  const script = `
    echo 400 >/proc/sys/kernel/pid_max || exit 99
    # Below 300 no number is given a second time.
    echo 350 >/proc/sys/kernel/ns_last_pid
    tool=$1; shift
    "$tool" run "$@" -- sh -c 'kill -9 $PPID $$'
    pid=$(cat "$MARKER")
    n=0
    while :; do
      sleep 100 & last=$!
      [ "$last" = "$pid" ] && break
      kill -9 "$last"; wait "$last" 2>/dev/null
      n=$((n + 1)); [ $n -gt 2000 ] && exit 98
    done
    echo "again $(cat "$MARKER") $last"
    "$tool" list --root "$ROOT" | grep -o '\\[.*\\]'
    "$tool" run "$@" -- echo taken over
    echo "exit $?"
    kill -9 "$last"`;

  requiresPrograms("unshare --pid")("a claim's number is another process's by now: it is dead", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    const wrapped = await run(
      [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "--kill-child",
        "bash",
        "-c",
        script,
        "bash",
        executable,
        ...of.args,
      ],
      { MARKER: of.marker, ROOT: root },
    );
    expect(wrapped.exitCode).toBe(0);
    expect(wrapped.stdout).toMatch(/again (\d+) \1/);
    expect(wrapped.stdout).toContain("[STALE - PID not running]");
    expect(wrapped.stdout).not.toContain("ACTIVE");
    expect(wrapped.stdout).toMatch(/taken over\nexit 0/);
    expect(leftovers(of)).toEqual([]);
  });

  const living = `
    echo 400 >/proc/sys/kernel/pid_max || exit 99
    # Below 300 no number is given a second time.
    echo 350 >/proc/sys/kernel/ns_last_pid
    tool=$1; shift
    "$tool" run "$@" -- sh -c 'touch "$ROOT/up"; while [ -d "$ROOT" ] && [ ! -e "$ROOT/end" ]; do sleep 0.02; done' & wrapper=$!
    while [ -d "$ROOT" ] && [ ! -e "$ROOT/up" ]; do sleep 0.02; done
    kill -9 "$wrapper"; wait "$wrapper" 2>/dev/null
    n=0
    while :; do
      sleep 100 & last=$!
      [ "$last" = "$wrapper" ] && break
      kill -9 "$last"; wait "$last" 2>/dev/null
      n=$((n + 1)); [ $n -gt 2000 ] && exit 98
    done
    "$tool" list --root "$ROOT" | grep -o '\\[.*\\]'
    "$tool" run "$@" -- echo two of them
    echo "exit $?"
    kill -9 "$last"
    touch "$ROOT/end"; sleep 0.3`;

  requiresPrograms("unshare --pid")(
    "a command that outlived its wrapper lives, though the wrapper's number is another's",
    async () => {
      const root = await temporaryRoot();
      const of = configuration(root);
      const wrapped = await run(
        [
          "unshare",
          "--pid",
          "--fork",
          "--mount-proc",
          "--kill-child",
          "bash",
          "-c",
          living,
          "bash",
          executable,
          ...of.args,
        ],
        { MARKER: of.marker, ROOT: root },
      );
      expect(wrapped.exitCode).toBe(0);
      expect(wrapped.stdout).not.toContain("STALE");
      expect(wrapped.stdout).toContain("exit 75");
      expect(wrapped.stdout).not.toContain("two of them");
    },
  );
});
