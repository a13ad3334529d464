import { readFileSync } from "node:fs";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, startTrainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const checksADay = 2880;
const statOf = (pid: number) => readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
const cpuSeconds = (pid: number) =>
  statOf(pid)
    .slice(11, 13)
    .reduce((sum, ticks) => sum + Number(ticks), 0) / 100;
const residentKb = (pid: number) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);

requiresPrograms("strace")(
  "a day of holding, its 2880 checks in a minute: memory stays, a check costs little, calls are bounded",
  async () => {
    const of = configuration(await temporaryRoot());
    const counted = `${of.root}/calls`;
    const options = ["--check-every", "0.5"];
    const strace = ["-f", "-qq", "-y", "-e", "trace=%file,%desc", "-e", "signal=none", "-o", counted];
    const hold = ["run", ...of.args, ...options, "--", "sh", "-c", "echo ready; exec cat"];
    const traced = startProcess("strace", [...strace, executable, ...hold], { env: environment(), timeoutMs: 60_000 });
    await traced.waitFor("ready");
    const paths = () =>
      readFileSync(counted, "utf8")
        .split("\n")
        .filter((line) => line.includes(of.root)).length;
    await new Promise((resolve) => setTimeout(resolve, 2000));
    const before = paths();
    await new Promise((resolve) => setTimeout(resolve, 5000));
    const perCheck = (paths() - before) / 10;
    traced.closeInput();
    await traced.finished;
    console.log(`file system calls an hour: ${Math.ceil(perCheck * 120)}`);
    expect(perCheck).toBeGreaterThan(0);
    expect(perCheck).toBeLessThanOrEqual(20);

    const other = configuration(await temporaryRoot());
    const holder = startTrainlock([
      "run",
      ...other.args,
      "--check-every",
      "0.02",
      "--",
      "sh",
      "-c",
      "echo ready; exec cat",
    ]);
    await holder.waitFor("ready");
    const resident: number[] = [];
    for (let round = 0; round < 8; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 7200));
      resident.push(residentKb(holder.pid));
    }
    const spent = cpuSeconds(holder.pid);
    console.log(`resident ${resident.map((kb) => Math.round(kb / 1024)).join(", ")} MB; ${spent} s of processor time`);
    // One value moves by megabytes with the collector's turns, and by tenfold that under load: growth shows in the most.
    expect(Math.max(...resident.slice(4))).toBeLessThan(Math.max(...resident.slice(0, 4)) + 5120);
    // 0.1 % of a day is 86 s.
    expect(spent).toBeLessThan(20);
    holder.closeInput();
    await until("its end", async () => ((await holder.finished).exitCode === 0 ? true : null));
    expect(checksADay * 0.02).toBeLessThan(8 * 7.2 + 1);
  },
  120_000,
);
