import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished } from "vitest";
import { sharedCluster } from "../etcd/cluster.ts";
import { configuration } from "../support/configuration.ts";
import { isRunning } from "../support/process-state.ts";
import { type Requirement, requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, startTrainlock, trainlock } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

/** Starts a program with all descriptors above the standard ones closed. */
const withoutDescriptors = `import os, sys
os.closerange(3, 256)
os.execvp(sys.argv[1], sys.argv[1:])
`;

/**
 * Who is started inside of a run and has left it, without the lock's descriptor. When run and command were killed, it asks for the
 * lock: what it has inherited is no proof that the dead training lives. `./ask` waits for that and asks.
 */
const askers: Readonly<Record<string, { readonly needs?: readonly Requirement[]; readonly start: string }>> = {
  "in a session of its own": { start: "setsid python3 apart bash ask &" },
  "as the child of a program of Python": {
    start: `python3 apart python3 -c 'import subprocess; subprocess.run(["bash", "ask"], start_new_session=True)' &`,
  },
  "below shells that it started, which are of the tree themselves": {
    start: `setsid python3 apart bash -c 'bash -c "bash ask; true"; true' &`,
  },
  "below timeout, as an orphan": { start: "(setsid python3 apart timeout 60 bash ask &)" },
  "in a window of a tmux server": {
    needs: ["tmux"],
    start: `python3 apart tmux -S "$PWD/tmux" -f /dev/null new-session -d "bash ask"`,
  },
  "in a container": {
    needs: ["unshare --pid"],
    start: "setsid python3 apart unshare --pid --fork --mount-proc bash ask &",
  },
};

type Environment = Readonly<Record<string, string>>;

/** The exit code of a run that is asked for from inside of one whose wrapper and command are dead by then. */
async function askAgain(start: string, env: Environment = {}): Promise<{ code: string; said: string }> {
  const root = await temporaryRoot();
  const of = configuration(root);
  const ask = `echo $$ >asks; until [ -e go ]; do [ -d . ] || exit; sleep 0.05; done
${executable} run ${of.args.join(" ")} -- touch continued 2>said; echo $? >code.new; mv code.new code`;
  writeFileSync(join(root, "apart"), withoutDescriptors);
  writeFileSync(join(root, "ask"), ask);
  const job = `${start}\nuntil [ -s asks ]; do sleep 0.05; done; echo "JOB $$"; exec sleep 60`;
  const running = startTrainlock(["run", ...of.args, "--", "bash", "-c", job], { cwd: root, env });
  await running.waitFor("JOB");
  const command = Number(/JOB (\d+)/.exec(running.stdout())?.[1]);
  // By then its wrapper has noted the one that asks.
  await sleep(1500);
  running.kill("SIGKILL");
  process.kill(command, "SIGKILL");
  await running.finished;
  await until("the end of the command", () => (isRunning(command) ? null : true));
  // Somebody else does not get it: what asks is a process of that training.
  expect(await trainlock(["run", ...of.args, "--", "true"], { env })).toMatchObject({ exitCode: 75 });
  writeFileSync(join(root, "go"), "");
  onTestFinished(() => writeFileSync(join(root, "go"), ""));
  const code = await until("the answer", () => (existsSync(join(root, "code")) ? true : null));
  expect(code).toBe(true);
  return { code: readFileSync(join(root, "code"), "utf8").trim(), said: readFileSync(join(root, "said"), "utf8") };
}

const got = { code: "0", said: "" };

for (const [name, { needs = [], start }] of Object.entries(askers))
  requiresPrograms(
    "python3",
    "setsid",
    ...needs,
  )(`what was started inside of a run gets the lock when that is dead: ${name}`, async () => {
    expect(await askAgain(start)).toEqual(got);
  });

const cluster = sharedCluster();
requiresPrograms(
  "python3",
  "setsid",
  "etcd",
  "etcdctl",
)("on etcd the lock is kept for what is left of a tree, and one of that is told so at once", async () => {
  const { url, env } = await cluster();
  const { code, said } = await askAgain("setsid python3 apart bash ask &", { ...env, TRAINLOCK_STORE: url });
  expect({ code, said }).toEqual({ code: "2", said: expect.stringContaining("this is inside the run that holds it") });
});
