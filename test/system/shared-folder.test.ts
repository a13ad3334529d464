import { describe, expect, test } from "vitest";
import { EnvironmentError } from "../../src/model/errors.ts";
import { makeSharedFolder } from "../../src/system/files/shared-permissions.ts";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { inParallel, trace } from "../support/strace.ts";
import { temporaryRoot } from "../support/temporary-root.ts";

test.each(["/proc/nothing", "/proc/nothing/below/that"])("%s cannot be made, and the error says so", (path) => {
  expect(() => makeSharedFolder(path)).toThrow(EnvironmentError);
  expect(() => makeSharedFolder(path)).toThrow("cannot make the folder /proc/nothing: ENOENT");
});

describe("a folder that another host is making at this moment", () => {
  // Root, lock dir, four folders of the weights, the history, and the host's folder there; then several in a row.
  const which = [...Array.from({ length: 8 }, (_, index) => String(index + 1)), "2..4", "7..9"];

  for (const errno of ["EEXIST", "ENOENT", "ESTALE"]) {
    requiresPrograms("strace")(
      `is waited for where mkdir says ${errno} and an open that it is missing`,
      async () => {
        const ends = await inParallel(which, async (when) => {
          const of = configuration(await temporaryRoot());
          const inject = `mkdir,mkdirat:error=${errno}:when=${when}`;
          const { exitCode, stdout, stderr } = await trace(["run", ...of.args, "--", "echo", "ran"], { inject });
          return exitCode === 0 && stdout === "ran\n" && stderr === "" ? [] : [{ when, exitCode, stdout, stderr }];
        });
        expect(ends.flat()).toEqual([]);
      },
      60_000,
    );
  }
});
