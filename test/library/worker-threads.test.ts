import { resolve } from "node:path";
import { expect, test } from "vitest";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment } from "../support/trainlock.ts";
import { runtimes } from "./library-program.ts";

const program = resolve("test/library/worker-threads.mjs");
const library = resolve("dist/lib/index.js");

for (const [name, runtime] of Object.entries(runtimes)) {
  test(`on ${name} threads of one program exclude each other, and Node has nothing to warn of`, async () => {
    const root = await temporaryRoot();
    const ended = await finish(runtime, [program, library, root], { env: environment(), timeoutMs: 60_000 });
    expect(ended).toEqual({
      ...ended,
      stdout:
        "main acquired\nworker busy, locked\nmain held\nworker acquired, not locked\nmain busy, locked\nmain acquired\n",
      stderr: "",
      exitCode: 0,
    });
  });
}
