import { describe, expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { trace } from "../support/strace.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { trainlock } from "../support/trainlock.ts";

// GlusterFS opens late: that another host has replaced a file may show at its first read alone, as ESTALE or ENOENT.
describe("plan, where a file that it has opened is no longer there at its first read", () => {
  const places = [
    ["the record beside the marker", (of: ReturnType<typeof configuration>) => of.markerRecord],
    ["the lock file", (of: ReturnType<typeof configuration>) => of.kernelLock],
    ["the done file", (of: ReturnType<typeof configuration>) => `${of.weightsDir}/trained.json`],
  ] as const;
  for (const [what, pathOf] of places) {
    for (const errno of ["ENOENT", "ESTALE"]) {
      requiresPrograms("strace", "a local file system and the initial PID namespace")(
        `${what}, ${errno}: it looks again, and the row is done`,
        async () => {
          const of = configuration(await temporaryRoot());
          const rule = ["--done-file", "trained.json"];
          const train = ["run", ...of.args, ...rule, "--", "sh", "-c", 'echo x >"$TRAINLOCK_WEIGHTS_DIR/model.pth"'];
          expect((await trainlock(train)).exitCode).toBe(0);
          const plan = ["plan", ...of.args, ...rule, "--scheduler", "none", "--require", "done"];
          const inject = `read,pread64:error=${errno}:when=1`;
          const { exitCode, stdout, stderr } = await trace(plan, { inject, paths: [pathOf(of)] });
          expect({ exitCode, stderr }, stdout).toEqual({ exitCode: 0, stderr: "" });
        },
        60_000,
      );
    }
  }
});
