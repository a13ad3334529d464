import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { leaveForeignMarker } from "../support/foreign-lock.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { standIns } from "../support/stand-ins.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, holdWithRun, killWithCommand, trainlock } from "../support/trainlock.ts";
import { startTerminal, type Terminal } from "./terminal.ts";

const [columns, rows] = [80, 24];

/** These lines are as users of training_lock.py know them, and paths stay whole, to be copied, however long those of a site are. */
const fixed = /^SKIP: |^ {4}Lock file: |^ {4}PID: |^ +\/\S+$/;

/** As long as there is something to say: what counts stands at the end, where it is seen. */
const ends: Readonly<Record<string, RegExp>> = { clear: /^Run with --no-dry-run to remove$/m, doctor: /^\d+ ok/m };

const strategies = ["baseline", "std_mixup", "photometric_distort", "gen_VisualCloze"];
const models = ["deeplabv3plus_r50", "pspnet_r50", "segformer_mit-b5"];
const grid = `- strategy: [${strategies.join(", ")}]
  dataset: [IDD-AW]
  model: [${models.join(", ")}]
`;

/** What a site of 12 configurations looks like in the middle of a week. */
async function site() {
  const root = await temporaryRoot();
  const at = (strategy: number, model: number) => configuration(root, strategies[strategy], "IDD-AW", models[model]);
  writeFileSync(join(root, "grid.yaml"), grid);
  writeFileSync(join(root, "trainlock.yaml"), "grid: grid.yaml\ndone:\n  when: [iter_80000.pth]\n");
  for (const of of [at(1, 0), at(1, 1)]) {
    mkdirSync(of.weightsDir, { recursive: true });
    writeFileSync(join(of.weightsDir, "iter_80000.pth"), Buffer.alloc(4096));
  }
  const held = [at(0, 0), at(3, 2)];
  for (const [index, of] of held.entries())
    await holdWithRun(of.args, { env: { SLURM_JOB_ID: `${4_711_000 + index}`, SLURM_CLUSTER_NAME: "c1" } });
  for (const of of [at(2, 1)]) await killWithCommand(await holdWithRun(of.args));
  leaveForeignMarker(at(3, 0), { hostname: "node07", pid: 22_333, jobId: "4698123" });
  for (const of of [at(3, 1)]) await trainlock(["run", ...of.args, "--", "sh", "-c", "exit 1"]);
  const { env } = await standIns();
  const program = (name: string, body: string) => {
    const path = join(env.PATH?.split(":")[0] ?? "", name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
  };
  for (const name of ["squeue", "sacct", "sinfo", "scontrol"]) program(name, "exit 0");
  program("sbatch", "cat >/dev/null; echo 4711999");
  const path = `${dirname(executable)}:${env.PATH}`;
  return { root, held: held[0] as TestConfiguration, env: { ...env, PATH: path, TRAINLOCK_ROOT: root } };
}

const trains = `sh -c 'head -c 4096 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/iter_80000.pth"'`;

/** The calls that people make most, as they type them. */
const calls: readonly string[] = [
  "run --name baseline/idd-aw/deeplabv3plus_r50 -- python train.py",
  "run --name baseline/idd-aw/pspnet_r50 -- true",
  "check --name baseline/idd-aw/deeplabv3plus_r50",
  "check --name baseline/idd-aw/pspnet_r50",
  "list --short",
  "clear --dry-run",
  "plan",
  "why photometric_distort/idd-aw/pspnet_r50",
  "why gen_VisualCloze/idd-aw/pspnet_r50",
  "run --name baseline/idd-aw/segformer_mit-b5 -- trainlock held",
  `work --model segformer_mit-b5 --jobs 2 -- ${trains}`,
  "submit --strategy photometric_distort --scheduler slurm -- bash train.sh",
  "history --since 7d",
  "doctor",
];

let typedCalls = 0;

async function typed(terminal: Terminal, call: string): Promise<{ screen: string; lines: string[] }> {
  typedCalls += 1;
  terminal.type(`clear; echo BEGIN; trainlock ${call}; echo "END ${typedCalls} $?"`);
  const screen = await terminal.shows(new RegExp(`^END ${typedCalls} \\d+$`, "m"));
  return { screen, lines: terminal.lines() };
}

describe("on a screen of 80 by 24, on a site of 12 configurations", () => {
  requiresPrograms("tmux")(
    "what people call most is seen whole, and no line is longer than the screen",
    async () => {
      const { root, env } = await site();
      const terminal = await startTerminal(env);
      terminal.resize(columns, rows);
      terminal.type(`cd ${root}`);
      const faults: string[] = [];
      for (const call of calls) {
        const { screen, lines } = await typed(terminal, call);
        const end = ends[call.split(" ")[0] ?? ""];
        if (!(end ?? /^BEGIN$/m).test(screen)) faults.push(`${call}: scrolls off\n${screen}`);
        const wide = lines.filter((line) => line.length > columns && !fixed.test(line));
        if (wide.length > 0) faults.push(`${call}: wraps\n${wide.join("\n")}`);
      }
      expect(faults).toEqual([]);
    },
    120_000,
  );
});
