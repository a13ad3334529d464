import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { inOwnMounts } from "../support/in-own-mounts.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable } from "../support/trainlock.ts";

const onFuse = requiresPrograms("root", "bindfs", "unshare --mount");

/** Programs in place of a scheduler, by which job 123 has ended on node77 a minute ago, and of an ssh that reaches nobody. */
const programs = {
  squeue:
    'ago() { date -d "-$1" +%Y-%m-%dT%H:%M:%S; }; echo "123|0|root|COMPLETED|$(ago 3hours)|$(ago 2hours)|$(ago 1min)|0|node77|node77|c|"',
  sinfo: "exit 0",
  ssh: "exit 255",
};

/** What is said, in one word each, of the kernel lock of an old Python job in that job, which wrote in its folder just now. */
async function said(lines: string): Promise<readonly string[]> {
  const of = configuration(await temporaryRoot());
  const tools = join(of.root, "bin");
  for (const folder of [tools, of.lockDir, of.weightsDir]) mkdirSync(folder, { recursive: true });
  for (const [name, body] of Object.entries(programs)) {
    writeFileSync(join(tools, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(tools, name), 0o755);
  }
  const record = {
    strategy: "baseline",
    dataset: "idd_aw",
    model: "deeplabv3plus_r50",
    job_id: "123",
    hostname: "node77",
    pid: 4711,
    user: "root",
  };
  writeFileSync(of.kernelLock, JSON.stringify({ ...record, acquired_at: "TAKEN" }));
  const variables = { T: executable, A: of.args.join(" "), R: of.root, W: of.weightsDir, L: of.kernelLock };
  const script = `sed -i "s/TAKEN/$(date -d -1hour +%Y-%m-%dT%H:%M:%S.000000)/" "$L"; touch -d -1hour "$L"
    bindfs "$R" "$R"; trap 'umount -l "$R"' EXIT; PATH=$R/bin:$PATH
    look() {
      "$T" list --root "$R" --scheduler slurm | grep -o '\\[.*\\]'
      "$T" check $A --scheduler slurm >/dev/null 2>&1; echo "check $?"
      "$T" clear --root "$R" --scheduler slurm --no-dry-run 2>/dev/null | head -n 1
    }
    ${lines}`;
  return await inOwnMounts(script, variables);
}

onFuse(
  "list, check and clear say the same of a folder that is written, and of one that is not",
  async () => {
    const written = ["[UNKNOWN - still being written]", "check 1", "No stale locks found"];
    const quiet = ["[STALE - job ended]", "check 0", "Cleared 1 stale lock:"];
    expect(await said('echo >"$W/iter_1.pth"; look; touch -d -1hour "$W/iter_1.pth"; look')).toEqual([
      ...written,
      ...quiet,
    ]);
  },
  70_000,
);
