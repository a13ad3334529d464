import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { generationsIn, harmlessCommand, leaveStaleClaim, leftovers, listed } from "../support/scenarios.ts";
import { inParallel, pointsIn, trace } from "../support/strace.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, run } from "../support/trainlock.ts";

/** Runs a script with the root mounted in a way of its own, seen by nobody else and gone when the script is over. */
function mounted(root: string, mount: string, script: string) {
  const inside = `mount ${mount} || exit 99\ntool=$1; shift\n${script}`;
  return run(["unshare", "--mount", "bash", "-c", inside, "bash", executable, ...configuration(root).args]);
}

describe("a root that cannot be written", () => {
  requiresPrograms("unshare --mount")("read-only: said so, with exit code 3, and listed all the same", async () => {
    const root = await temporaryRoot();
    await leaveStaleClaim(configuration(root));
    const before = readdirSync(root, { recursive: true });
    const bind = `--bind ${root} ${root} && mount -o remount,bind,ro ${root}`;
    const refused = await mounted(root, bind, '"$tool" run "$@" -- echo started');
    expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
    expect(refused.stderr).toMatch(/EROFS/);
    expect(refused.stderr).toContain(root);
    expect(refused.stderr).toMatch(/read-only/i);
    const seen = await mounted(root, bind, `"$tool" list --root ${root}`);
    expect(seen.exitCode).toBe(0);
    expect(seen.stdout).toContain("STALE");
    const clearing = await mounted(root, bind, `"$tool" clear --root ${root} --no-dry-run`);
    expect(clearing.exitCode).toBe(3);
    expect(clearing.stdout + clearing.stderr).toMatch(/EROFS/);
    expect(readdirSync(root, { recursive: true })).toEqual(before);
  });

  requiresPrograms("unshare --mount")("read-only from the first: nothing is there, nothing is made", async () => {
    const root = await temporaryRoot();
    const bind = `--bind ${root} ${root} && mount -o remount,bind,ro ${root}`;
    const refused = await mounted(root, bind, '"$tool" run "$@" -- echo started');
    expect(refused).toMatchObject({ exitCode: 3, stdout: "" });
    expect(refused.stderr).toMatch(/EROFS/);
    const checked = await mounted(root, bind, '"$tool" check "$@"');
    // It ends as run would.
    expect(checked.exitCode).toBe(3);
    expect(readdirSync(root)).toEqual([]);
  });
});

describe("a disk that is full", () => {
  requiresPrograms("unshare --mount")(
    "from the first byte, or while it runs: told, nothing left held, fine once there is room",
    async () => {
      const root = await temporaryRoot();
      const outcome = join(root, "..", `${root.split("/").pop()}-outcome`);
      // Pages are what a tmpfs gives out: with the filler in place each step leaves one or two more of them than the last.
      const script = `
      cd ${root}
      for room in 0 1 2 3 4; do
        rm -rf ${root}/*
        head -c 1M /dev/zero >filler 2>/dev/null
        truncate -s -$((room * 4096)) filler
        "$tool" run "$@" -- echo started >${outcome}.out 2>${outcome}.err
        code=$?
        left=$(find . -name '.training_lock' -o -name '*.tmp' | wc -l)
        "$tool" list --root ${root} --json >${outcome}.list 2>&1 || echo "list failed"
        active=$(grep -c '"active"' ${outcome}.list)
        echo "room $room exit $code left $left active $active started $(grep -c started ${outcome}.out) said $(grep -c ENOSPC ${outcome}.err)"
        rm -f filler
        "$tool" run "$@" -- true || echo "then: exit $?"
        find . -name '.training_lock' -o -name '*.tmp'
      done
      rm -f ${outcome}.*`;
      const { stdout, exitCode } = await mounted(root, `-t tmpfs -o size=64k,nr_inodes=64 trainlock ${root}`, script);
      expect(exitCode).toBe(0);
      const lines = stdout.trim().split("\n");
      console.info(lines.join("\n"));
      for (const line of lines) {
        expect(line).toMatch(
          /^room \d exit (3 left 0 active 0 started 0 said [1-9]|0 left 0 active 0 started 1 said \d)$/,
        );
      }
      expect(lines).toHaveLength(5);
      expect(lines[0]).toMatch(/exit 3/);
    },
  );

  requiresPrograms("unshare --mount")(
    "refused runs leave no lock files; clear names what it has cleared and what not",
    async () => {
      const root = await temporaryRoot();
      const script = `
        config() { echo --root ${root} --strategy s --dataset d --model $1; }
        "$tool" run $(config stale) -- sh -c 'kill -9 $PPID'
        head -c 1M /dev/zero >${root}/filler 2>/dev/null
        "$tool" run $(config next) -- echo started; echo "run $?"
        ls ${root}/training_locks/*.lock
        "$tool" clear --root ${root} --no-dry-run 2>&1; echo "clear $?"
        rm ${root}/filler
        "$tool" clear --root ${root} --no-dry-run; echo "clear $?"`;
      const { stdout } = await mounted(root, `-t tmpfs -o size=256k trainlock ${root}`, script);
      const marker = `${root}/WEIGHTS/s/d_cd/stale/.training_lock`;
      const [refused, full, free] = stdout.split(/(?<=^(?:run|clear) .*\n(?:.*\.lock\n)?)(?=Cleared|trainlock)/m);
      expect(refused).toBe(`run 3\n${root}/training_locks/s_d_stale.lock\n`);
      expect(full).toMatch(/Cleared 1 stale lock:.*\/training_locks\/s_d_stale\.lock\n.*clear 3\n/s);
      expect(full).toContain(`not cleared, and as it was: ${marker}: ENOSPC; clear writes a file beside a marker`);
      expect(free).toMatch(/Cleared 1 stale lock:.*\.training_lock\n.*clear 0\n/s);
    },
  );

  requiresPrograms("unshare --mount")("no inode is left: told, nothing left held", async () => {
    const root = await temporaryRoot();
    const script = `
      cd ${root}
      for keep in 0 1 2 3 4 5 6 7 8; do
        rm -rf ${root}/*
        mkdir fill; n=0; while : >fill/$n; do n=$((n + 1)); done 2>/dev/null
        for ((i = 0; i < keep; i++)); do rm fill/$i; done
        said=$("$tool" run "$@" -- echo started 2>&1); code=$?
        left=$(find . -name '.training_lock' -o -name '*.tmp' | wc -l)
        echo "keep $keep exit $code left $left $(grep -o 'ENOSPC\\|started' <<<"$said" | sort -u | tr '\n' ' ')"
        rm -rf fill
        "$tool" run "$@" -- true || echo "then: exit $?"
      done`;
    const { stdout } = await mounted(root, `-t tmpfs -o size=1m,nr_inodes=32 trainlock ${root}`, script);
    const lines = stdout.trim().split("\n");
    console.info(lines.join("\n"));
    expect(lines).toHaveLength(9);
    for (const line of lines) expect(line).toMatch(/^keep \d exit (3 left 0 ENOSPC|0 left 0 (ENOSPC )?started) ?$/);
  });
});

describe("a quota that is used up", () => {
  requiresPrograms("strace")("EDQUOT at every call that writes or creates", async () => {
    const creates = /^(open.*O_CREAT|mkdir|pwrite64|write|link|rename)/;
    const points = await (async () => {
      const root = await temporaryRoot();
      const of = configuration(root);
      const traced = await trace(["run", ...of.args, "--", ...harmlessCommand]);
      return pointsIn(traced.calls, root).filter(
        ({ phase, text }) => phase === "before the command" && creates.test(text),
      );
    })();
    expect(points.length).toBeGreaterThan(8);
    const roots = await Promise.all(points.map(() => temporaryRoot()));
    let hits = 0;
    const faults = await inParallel(
      points.map((point, index) => ({ point, root: roots[index] ?? "" })),
      async ({ point, root }) => {
        const of = configuration(root);
        const traced = await trace(["run", ...of.args, "--", ...harmlessCommand], {
          inject: `${point.name}:error=EDQUOT:when=${point.nth}`,
        });
        // On a busy machine a look is repeated, and another call is the how manieth that one was.
        const injected = traced.calls.find(({ text }) => text.includes("(INJECTED)"));
        const isHit = injected !== undefined && pointsIn(traced.calls, root).some(({ text }) => text === injected.text);
        if (!isHit || !creates.test(injected.text)) return [];
        hits += 1;
        const refused = traced.exitCode === 3 && traced.stdout === "" && traced.stderr.includes("EDQUOT");
        const wrong =
          refused && traced.stderr.includes(root) ? [] : [`${point.text}: exit ${traced.exitCode} ${traced.stderr}`];
        const left = (await listed(root)).map(({ path, label }) => `${point.text}: left ${path} ${label}`);
        const next = await run([executable, "run", ...of.args, "--", ...harmlessCommand]);
        const recovered = next.exitCode === 0 && generationsIn(next.stdout).length === 1 && leftovers(of).length === 0;
        return [...wrong, ...left, ...(recovered ? [] : [`${point.text}: then ${next.exitCode} ${next.stderr}`])];
      },
    );
    expect(faults.flat()).toEqual([]);
    expect(hits).toBeGreaterThan(points.length / 2);
  });
});

describe("things in the way", () => {
  requiresPrograms("unshare --mount")("a file where the lock folder belongs, or the weights folder", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    writeFileSync(of.lockDir, "");
    const first = await run([executable, "run", ...of.args, "--", "echo", "started"]);
    expect(first).toMatchObject({ exitCode: 3, stdout: "" });
    expect(first.stderr).toMatch(/ENOTDIR|EEXIST/);
    expect(readFileSync(of.lockDir, "utf8")).toBe("");
    const other = configuration(await temporaryRoot());
    mkdirSync(join(other.weightsDir, ".."), { recursive: true });
    writeFileSync(other.weightsDir, "");
    const second = await run([executable, "run", ...other.args, "--", "echo", "started"]);
    expect(second).toMatchObject({ exitCode: 3, stdout: "" });
    expect(second.stderr).toContain(other.weightsDir);
    expect(existsSync(other.marker)).toBe(false);
    expect(await listed(join(other.lockDir, ".."))).toEqual([]);
  });
});
