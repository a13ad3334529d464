import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { type Traced, trace } from "../support/strace.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

const finishedWanted = 10_000;

/** A lab's past: lock file, record and checkpoint of one finished training, many times. */
async function withFinished(root: string): Promise<void> {
  const first = configuration(root, "finished", "Past", "model0");
  await trainlock(["run", ...first.args, "--", "sh", "-c", 'echo x > "$TRAINLOCK_WEIGHTS_DIR/iter_100.pth"']);
  const record = readFileSync(first.kernelLock, "utf8");
  for (let n = 1; n < finishedWanted; n += 1) {
    const of = configuration(root, "finished", "Past", `model${n}`);
    writeFileSync(of.kernelLock, record.replaceAll("model0", of.model));
    // Folders cost most to make, and most trainings are looked for by their locks.
    if (n % 20 !== 0) continue;
    mkdirSync(of.weightsDir, { recursive: true });
    writeFileSync(of.markerRecord, record.replaceAll("model0", of.model));
    copyFileSync(join(first.weightsDir, "iter_100.pth"), join(of.weightsDir, "iter_100.pth"));
  }
}

/** Calls on files of the site, without those that read on in the same folder. */
function callsOnSite({ calls, exitCode, stderr }: Traced, { root }: TestConfiguration): string[] {
  expect(exitCode, stderr).toBe(0);
  return calls.filter(({ text }) => text.includes(root) && !text.startsWith("getdents")).map(({ name }) => name);
}

requiresPrograms("strace")(
  `with ${finishedWanted} finished configurations, run and check make as many system calls as on an empty site`,
  async () => {
    const counts = [];
    for (const isLab of [false, true]) {
      const of = configuration(await temporaryRoot());
      mkdirSync(dirname(of.kernelLock), { recursive: true });
      if (isLab) await withFinished(of.root);
      const check = callsOnSite(await trace(["check", ...of.args]), of);
      const run = callsOnSite(await trace(["run", ...of.args, "--done-when", "iter_100.pth", "--", "true"]), of);
      expect(check.length).toBeGreaterThan(5);
      counts.push({ check: check.length, run: run.length });
    }
    const [empty, lab] = counts;
    // On a busy machine some calls are made again. One for each folder would be 500 more.
    for (const command of ["check", "run"] as const)
      expect(Math.abs((lab?.[command] ?? 0) - (empty?.[command] ?? 0))).toBeLessThan(250);
  },
);
