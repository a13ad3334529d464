import { resolve } from "node:path";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { startProcess } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment } from "../support/trainlock.ts";
import { until } from "../support/until.ts";

const program = resolve("test/library/holder.mjs");
const library = resolve("dist/lib/index.js");
export const runtimes = { Node: process.execPath, Bun: resolve("node_modules/.bin/bun") };

/** A program with a lock of the library, told what to do and asked what came of it. */
export async function holder(runtime: string): Promise<{ of: TestConfiguration; tell(word: string): Promise<string> }> {
  const of = configuration(await temporaryRoot());
  const running = startProcess(runtime, [program, library, of.root], { env: environment() });
  let answers = 0;
  const tell = async (word: string) => {
    running.writeLine(word);
    answers += 1;
    return until(`an answer to ${word}`, () => running.stdout().split("\n").slice(0, -1)[answers - 1] ?? null);
  };
  return { of, tell };
}
