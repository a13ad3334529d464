import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestConfiguration } from "./configuration.ts";
import { until } from "./until.ts";

/** The wrapper notes its tree about once a second: what it has not noted yet, nobody finds when it is killed. */
export function untilNoted(of: TestConfiguration, workers: readonly number[]): Promise<true> {
  return until(
    "the workers to be noted",
    async () => {
      const text = await readFile(join(of.weightsDir, ".training_lock.tree"), "utf8").catch(() => "{}");
      const noted: number[] = (JSON.parse(text).processes ?? []).map(({ pid }: { pid: number }) => pid);
      return workers.every((pid) => noted.includes(pid)) ? true : null;
    },
    30_000,
  );
}
