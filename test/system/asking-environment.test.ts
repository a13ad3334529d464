import { afterEach, expect, test, vi } from "vitest";
import { runProgram } from "../../src/system/processes/run-program.ts";

afterEach(() => vi.unstubAllEnvs());

async function environmentOf(settings: Readonly<Record<string, string>>): Promise<string[]> {
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
  const answer = await runProgram({ argv: ["env"], timeoutMs: 5000 });
  return answer.kind === "ended" ? answer.stdout.split("\n") : [];
}

test("what makes Slurm's commands leave jobs out, or write times of their own, is kept from them; all else they get", async () => {
  const kept = { SLURM_CONF: "/x/slurm.conf", SLURM_CLUSTERS: "a", MY_SQUEUE_USERS: "me", LC_ALL: "C" };
  const said = await environmentOf({
    ...kept,
    ...{ SQUEUE_USERS: "me", SQUEUE_PARTITION: "gpu", SQUEUE_FORMAT: "%i", SLURM_TIME_FORMAT: "relative" },
    ...{ SINFO_PARTITION: "gpu", SACCT_LOCAL: "1", SCONTROL_ALL: "1", SLURM_BITSTR_LEN: "8" },
  });
  expect(said.filter((line) => /^(?:MY_)?S(?:QUEUE|INFO|ACCT|CONTROL|LURM_)/.test(line)).sort()).toEqual([
    "MY_SQUEUE_USERS=me",
    "SLURM_CLUSTERS=a",
    "SLURM_CONF=/x/slurm.conf",
  ]);
  expect(said).toContain("LC_ALL=C");
  expect(said).toContain(`PATH=${process.env.PATH}`);
});

test("without such settings a program has the very environment of its caller", async () => {
  const said = await environmentOf({ SLURM_JOB_ID: "7" });
  const own = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  expect(said.filter((line) => own.includes(line)).length).toBe(own.filter((line) => !line.includes("\n")).length);
});
