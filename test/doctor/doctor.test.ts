import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { type Finished, finish } from "../support/running-process.ts";
import { standIns } from "../support/stand-ins.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, run, trainlock } from "../support/trainlock.ts";

interface Finding {
  readonly check: string;
  readonly level: "ok" | "warning" | "fault";
  readonly found: string;
  readonly means: string | null;
}

function findingsOf({ stdout }: Finished): Map<string, Finding> {
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  return new Map(findings.map((finding) => [finding.check, finding]));
}

const allChecks = [
  "program",
  "file system",
  "create",
  "exclusive create",
  "link",
  "rename",
  "exchange",
  "flock between descriptors",
  "flock between processes",
  "byte-range lock",
  "time stamps",
  "clock",
  "space",
  "PID namespace",
  "scheduler",
];

/** No scheduler is asked: whether one is installed here must not matter. */
const alone = ["--config", "/dev/null"];

test("looks at everything, finds no fault in a folder of this host, and leaves nothing behind", async () => {
  const root = await temporaryRoot();
  const doctor = await trainlock(["doctor", "--root", root, "--json", ...alone]);
  expect(doctor).toMatchObject({ exitCode: 0, stderr: "" });
  const findings = findingsOf(doctor);
  expect([...findings.keys()].filter((check) => check !== "host names")).toEqual(allChecks);
  for (const check of ["link", "rename", "flock between descriptors", "flock between processes"])
    expect(findings.get(check)?.level, check).toBe("ok");
  expect(readdirSync(root)).toEqual([]);
});

test("says it as a table, each finding that is not ok with what it means", async () => {
  const root = await temporaryRoot();
  const { stdout } = await trainlock(["doctor", "--root", root, ...alone]);
  const lines = stdout.split("\n");
  for (const check of allChecks) expect(stdout).toMatch(new RegExp(`^(ok|warning) +${check} +\\S`, "m"));
  for (const [index, line] of lines.entries())
    if (line.startsWith("warning")) expect(lines[index + 1]).toMatch(/^ {9}\S/);
  expect(stdout).toMatch(/\n\n\d+ ok, \d+ warnings?, 0 faults\n$/);
});

test("a root that is not there is no finding", async () => {
  const root = await temporaryRoot();
  expect(await trainlock(["doctor", "--root", join(root, "gone")])).toMatchObject({ exitCode: 3, stdout: "" });
});

test.each([
  ["--hosts", "a,-oProxyCommand=x"],
  ["--timeout", "0"],
  ["--timeout", "soon"],
])("refuses %s %s", async (...args) => {
  const root = await temporaryRoot();
  expect(await trainlock(["doctor", "--root", root, ...args])).toMatchObject({ exitCode: 2, stdout: "" });
});

test("says which copy runs, and which others a shell would find", async () => {
  const root = await temporaryRoot();
  const bin = join(root, "bin");
  mkdirSync(join(root, "empty"));
  mkdirSync(bin);
  writeFileSync(join(bin, "trainlock"), "#!/bin/sh\necho 'trainlock 0.1.0 (of before)'\n", { mode: 0o755 });
  const doctor = (path: string) =>
    trainlock(["doctor", "--root", join(root, "empty"), ...alone], { env: { PATH: `${path}:${process.env.PATH}` } });
  const { stdout: version } = await trainlock(["--version"]);
  const own = `ok       program                   ${executable}: this copy: ${version.split("\n")[0]}\n`;
  const { exitCode, stdout } = await doctor(`.:${dirname(executable)}:${bin}:${bin}`);
  expect(exitCode).toBe(0);
  const other = `${bin}/trainlock: another copy on PATH: trainlock 0.1.0 (of before)\n`;
  expect(stdout.startsWith(`${own}warning  program                   ${other}         a shell with another PATH`)).toBe(
    true,
  );
  expect(stdout.match(/^\S+ +program /gm)).toHaveLength(2);
  expect((await doctor(bin)).stdout).toContain("`trainlock` starts that copy");
});

test("says one cause once, and a program's own words", async () => {
  const root = await temporaryRoot();
  writeFileSync(join(root, "trainlock.yaml"), "scheduler: slurm\n");
  const { env } = await standIns("sinfo");
  const hosts = ["--hosts", "password-1,password-2"];
  const { exitCode, stdout } = await trainlock(["doctor", "--root", root, ...hosts], { env });
  expect(exitCode).toBe(1);
  expect(stdout).toContain("Slurm: sinfo failed (exit code 1): sinfo: cannot reach the scheduler\n");
  for (const host of ["password-1", "password-2"])
    expect(stdout).toContain(`${host}: cannot be asked: ssh there wants a password or another key\n`);
  expect(stdout.match(/what to do: ssh to it by a key/g)).toHaveLength(1);
});

describe("faults of the file system, injected", () => {
  const strace = requiresPrograms("strace");

  async function doctored(inject: string, timeout: string): Promise<Finished> {
    const root = await temporaryRoot();
    const traced = ["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e", "trace=flock", "-e", `inject=${inject}`];
    const call = [executable, "doctor", "--root", root, "--json", "--timeout", timeout, ...alone];
    const doctor = await finish("strace", [...traced, ...call], { env: environment(), timeoutMs: 60_000 });
    // A probe that hangs has been killed, and could not tidy up.
    if (!inject.includes("delay")) expect(readdirSync(root)).toEqual([]);
    return doctor;
  }

  for (const errno of ["ENOSYS", "ENOLCK", "EIO"]) {
    strace(`names ${errno} of flock, and what to do`, async () => {
      const doctor = await doctored(`flock:error=${errno}`, "10s");
      expect(doctor.exitCode, doctor.stderr).toBe(1);
      const finding = findingsOf(doctor).get("flock between descriptors");
      expect(finding).toMatchObject({ level: "fault", means: "trainlock run would end here with exit 3" });
      expect(finding?.found).toContain(errno);
      expect(findingsOf(doctor).get("link")?.level).toBe("ok");
    });
  }

  strace("a flock that hangs is a finding, not a hang", async () => {
    const doctor = await doctored("flock:delay_enter=6000000", "2s");
    expect(doctor.exitCode, doctor.stderr).toBe(1);
    const finding = findingsOf(doctor).get("flock between descriptors");
    expect(finding).toMatchObject({ level: "fault", found: expect.stringMatching(/^no answer within 2 s/) });
    expect(findingsOf(doctor).get("rename")?.level).toBe("ok");
  });
});

test("shows the mode of files as they will be in a folder of a group, whatever the umask", async () => {
  const root = await temporaryRoot();
  chmodSync(root, 0o2775);
  const call = await run(["sh", "-c", 'umask 077; exec "$0" doctor --root "$1"', executable, root]);
  expect(call.stdout).toMatch(/^ok +create .*folder mode 2775 group (gid \d+|\w+), files mode 0664 /m);
});
