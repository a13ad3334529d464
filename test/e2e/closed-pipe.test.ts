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
