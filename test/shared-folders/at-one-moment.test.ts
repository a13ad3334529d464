import { chmodSync, chownSync, existsSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { pythonEnvironment } from "../support/python.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { executable, run } from "../support/trainlock.ts";
import { until } from "../support/until.ts";
import { alice, as, bob, group, sharedRoot } from "./users.ts";

/** Each change of a mode or group comes late: what is right from the first moment on needs none. */
const slowly = [
  "strace",
  ...["-f", "-qq", "-o", "/dev/null", "-e", "trace=chmod,fchmod,fchmodat,chown,fchown"],
  ...["-e", "inject=chmod,fchmod,fchmodat,chown,fchown:delay_enter=100000"],
];

const modeOf = (path: string) => (statSync(path).mode & 0o7777).toString(8);

requiresPrograms("setpriv as root", "strace")(
  "files and folders have their mode from the first moment on, and a colleague finds the lock held",
  async () => {
    const root = sharedRoot(0o2770);
    const of = configuration(root);
    const go = join(root, "go");
    const hold = ["sh", "-c", `umask; while [ -d ${root} ] && [ ! -e ${go} ]; do sleep 0.02; done`];
    const holding = run([...as(alice, { umask: "077" }), ...slowly, executable, "run", ...of.args, "--", ...hold]);
    await until("the lock file is there", () => existsSync(of.kernelLock) || null);
    const seen = [of.lockDir, of.kernelLock].map(modeOf);
    await until("the lock is held", () => existsSync(of.markerRecord) || null);
    const turnedAway = await run([...as(bob, { umask: "077" }), executable, "run", ...of.args, "--", "true"]);
    writeFileSync(go, "");
    expect(seen).toEqual(["2770", "660"]);
    expect(turnedAway.exitCode).toBe(75);
    // The command has the umask of its user.
    expect((await holding).stdout).toBe("0077\n");
  },
);

const oneLock = `
from training_lock import TrainingLock
lock = TrainingLock('baseline', 'IDD-AW', 'deeplabv3plus_r50')
print(lock.acquire())
lock.release()`;

requiresPrograms("setpriv as root", "python3")(
  "what a program has just made, and will give to the group in a moment, is waited for",
  async () => {
    const started = {
      executable: (root: string) => run([...as(bob), executable, "run", ...configuration(root).args, "--", "true"]),
      python: (root: string) => {
        const env = Object.entries(pythonEnvironment(root)).map(([name, value]) => `${name}=${value}`);
        return run([...as(bob), "env", ...env, "python3", "-c", oneLock]);
      },
    };
    for (const [who, start] of Object.entries(started)) {
      for (const late of ["kernelLock", "lockDir"] as const) {
        const root = sharedRoot(0o2770);
        const of = configuration(root);
        await run([...as(alice), executable, "run", ...of.args, "--", "true"]);
        const mode = statSync(of[late]).mode & 0o7777;
        chownSync(of[late], alice, alice);
        chmodSync(of[late], mode & 0o7700);
        const given = new Promise((resolve) => setTimeout(resolve, 250)).then(() => {
          chownSync(of[late], alice, group);
          chmodSync(of[late], mode);
        });
        const [outcome] = await Promise.all([start(root), given]);
        expect({ who, late, ...outcome }).toMatchObject({
          stderr: "",
          exitCode: 0,
          stdout: who === "python" ? "True\n" : "",
        });
      }
    }
  },
);
