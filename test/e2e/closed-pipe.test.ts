import { expect } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";

const sigpipe = 141;

requiresPrograms("bash")("output into a pipe whose reader has left: no noise, no crash", async () => {
  const root = await temporaryRoot();
  // Far more than a pipe holds, so that writing goes on after the reader has left.
  for (let n = 0; n < 1000; n++) await writeMarker(configuration(root, `strategy${n}`), "12\n34\n");
  for (const [flag, firstLine] of [
    ["", "=== File-based locks (.training_lock) (1000) ===\n"],
    ["--json", ""],
  ] as const) {
    const program = `"$1" list --root "$2" $3 | head -n 1; exit "\${PIPESTATUS[0]}"`;
    const { exitCode, stdout, stderr } = await finish("bash", ["-c", program, "bash", executable, root, flag], {
      env: environment(),
    });
    expect(stderr).toBe("");
    if (firstLine !== "") expect(stdout).toBe(firstLine);
    expect([0, sigpipe]).toContain(exitCode);
  }
});

/** Pipelines whose reader leaves first. `$RUN` is the call of `run`; each prints how its writer ended. */
const pipelines: Readonly<Record<string, readonly [script: string, ended: string]>> = {
  "of a shell that is the command": [`$RUN bash -c 'yes | head -n 1 >/dev/null; echo \${PIPESTATUS[0]}'`, "141"],
  "with run itself in it": [`$RUN yes | head -n 1 >/dev/null; echo \${PIPESTATUS[0]}`, "141"],
  "that a program of Python starts": [
    `$RUN python3 -c 'import subprocess; print(subprocess.run("yes | head -n 1 >/dev/null; exit $((PIPESTATUS))", shell=True, executable="/bin/bash").returncode)'`,
    "141",
  ],
  "of a worker in a session of its own": [
    `$RUN setsid -w bash -c 'yes | head -n 1 >/dev/null; echo \${PIPESTATUS[0]}'`,
    "141",
  ],
  "whose caller ignores SIGPIPE: it gets an error in place of the signal": [
    `trap '' PIPE; $RUN bash -c 'yes 2>/dev/null | head -n 1 >/dev/null; echo \${PIPESTATUS[0]}'; true`,
    "1",
  ],
};

for (const [name, [script, ended]] of Object.entries(pipelines)) {
  requiresPrograms(
    "bash",
    "python3",
    "setsid",
  )(`a pipeline ${name} ends as without trainlock`, async () => {
    const of = configuration(await temporaryRoot());
    for (const call of ["env", `${executable} run ${of.args.join(" ")} --`]) {
      const { stdout } = await finish("bash", ["-c", script], { env: environment({ RUN: call }), timeoutMs: 10_000 });
      expect({ call, ended: stdout.trim() }).toEqual({ call, ended });
    }
  });
}

requiresPrograms("bash")("a file over its limit of size ends its writer as without trainlock", async () => {
  const of = configuration(await temporaryRoot());
  const script = `ulimit -f 100; $RUN bash -c 'head -c 1000000 /dev/zero >"$0"; echo $?' ${of.root}/large`;
  for (const call of ["env", `${executable} run ${of.args.join(" ")} --`]) {
    const { stdout } = await finish("bash", ["-c", script], { env: environment({ RUN: call }) });
    expect({ call, ended: stdout.trim() }).toEqual({ call, ended: "153" });
  }
});
