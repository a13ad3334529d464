import { EnvironmentError } from "../model/errors.ts";
import type { Site } from "../site/open-site.ts";
import { rootFrom } from "../site/root.ts";
import { runProgram } from "../system/processes/run-program.ts";

/** Looks at root and site file in a process of its own first: with a dead file server behind them, that alone hangs. */
export async function openInTime(site: Site, timeoutMs: number): Promise<void> {
  const root = rootFrom(site.root, process.env);
  const argv = [process.execPath, "config", "--root", root] as const;
  const config = site.config === undefined ? [] : ["--config", site.config];
  const lockDir = site.lockDir === undefined ? [] : ["--lock-dir", site.lockDir];
  const answer = await runProgram({ argv: [...argv, ...config, ...lockDir], timeoutMs });
  if (answer.kind !== "late") return;
  throw new EnvironmentError(`the root ${root} does not answer within ${timeoutMs / 1000} s`, {
    code: "ETIMEDOUT",
    hint: "its file server is down or out of reach: check the mount",
  });
}
