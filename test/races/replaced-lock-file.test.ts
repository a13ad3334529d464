import { readdirSync, readFileSync } from "node:fs";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { pythonJob } from "../support/peers.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const test = requiresPrograms("strace", "python3");

/** The number of flock(2). */
const flock = process.arch === "arm64" ? 32 : 73;

test("list and check say who holds a lock file that was replaced between reading it and asking its lock", async () => {
  const of = configuration(await temporaryRoot());
  for (const [call, exitCode] of [
    [["list", "--json", "--root", of.root], 0],
    [["check", "--json", ...of.args], 1],
  ] as const) {
    const first = pythonJob.start(of);
    await first.waitFor("HELD");
    const trace = [
      "-f",
      "-qq",
      "-o",
      "/dev/null",
      "-e",
      "trace=flock",
      "-e",
      "inject=flock:delay_enter=1500000:when=1",
    ];
    const asking = startProcess("strace", [...trace, executable, ...call, "--scheduler", "none"], {
      env: environment(),
    });
    await until("the lock to be asked", () => (standsBeforeFlock(asking.pid) ? true : null), 20_000);
    first.closeInput();
    await first.finished;
    const second = pythonJob.start(of);
    await second.waitFor("HELD");
    expect(standsBeforeFlock(asking.pid), "it still stands there").toBe(true);
    const ended = await asking.finished;
    const found = JSON.parse(ended.stdout);
    const [lock] = found.locks ?? [found];
    expect([ended.exitCode, lock]).toMatchObject([exitCode, { status: "active", pid: second.pid }]);
    second.closeInput();
    await second.finished;
  }
});

function standsBeforeFlock(strace: number): boolean {
  try {
    const traced = readFileSync(`/proc/${strace}/task/${strace}/children`, "utf8").split(" ").filter(Boolean);
    return traced.some((pid) =>
      readdirSync(`/proc/${pid}/task`).some(
        (thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/syscall`, "utf8").split(" ")[0]) === flock,
      ),
    );
  } catch {
    return false;
  }
}
