import { chmod, copyFile } from "node:fs/promises";
import { join } from "node:path";
import { type Finished, finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";

const nobody = 65_534;

/**
 * The executable as called by a user whom permissions apply to. Needs root and setpriv. It is copied first: nobody else
 * may be allowed into the folder that it was built in.
 */
export async function asNobody(): Promise<(args: readonly string[]) => Promise<Finished>> {
  const folder = await temporaryRoot();
  const copy = join(folder, "trainlock");
  await copyFile(executable, copy);
  await chmod(copy, 0o755);
  await chmod(folder, 0o755);
  const user = ["--reuid", String(nobody), "--regid", String(nobody), "--clear-groups"];
  return (args) =>
    finish("setpriv", [...user, copy, ...args], {
      cwd: "/",
      env: environment({ HOME: "/nonexistent" }),
      timeoutMs: 10_000,
    });
}
