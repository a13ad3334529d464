import { expect } from "vitest";
import { finish } from "./running-process.ts";
import { environment } from "./trainlock.ts";

/** Runs a bash script in a mount namespace of its own, which says nothing on standard error. Returns the lines that it prints. */
export async function inOwnMounts(script: string, variables: Readonly<Record<string, string>>): Promise<string[]> {
  const { stdout, stderr } = await finish("unshare", ["--mount", "bash", "-c", script], {
    env: environment(variables),
    timeoutMs: 60_000,
  });
  expect(stderr).toBe("");
  return stdout.trim().split("\n");
}
