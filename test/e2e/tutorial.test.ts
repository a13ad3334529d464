import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";

const page = readFileSync(fileURLToPath(new URL("../../docs/tutorial.md", import.meta.url)), "utf8");

/** The page's commands in their order, each block with the lines that it is shown to print. */
const steps: { readonly script: string; readonly shown: string[] }[] = [];
for (const [, kind, text = ""] of page.matchAll(/```(sh|text)\n([\s\S]*?)```/g)) {
  if (kind === "sh") steps.push({ script: text, shown: [] });
  else steps.at(-1)?.shown.push(...text.split("\n").filter((line) => line !== ""));
}

/** PIDs, times, hosts and folders are those of whoever types it. */
function comparable(text: string): string {
  return text
    .replaceAll(/\(PID: \d+ on [^)]+\)/g, "(PID)")
    .replaceAll(/\/\S*\/lab\//g, "/lab/")
    .replaceAll(/ {2,}/g, "  ");
}

// Somebody types it on a machine that has time for it.
describe("read by a newcomer", { retry: 2 }, () => {
  requiresPrograms("bash")(
    "the tutorial, typed from top to bottom, prints what it shows",
    async () => {
      expect(steps.length).toBeGreaterThan(5);
      const script = steps.map(({ script: block }, index) => `${block}\necho "=== end of ${index}"\n`).join("");
      const path = `${dirname(executable)}:${process.env.PATH}`;
      const typed = await finish("bash", ["-c", `exec 2>&1\n${script}`], {
        cwd: await temporaryRoot(),
        env: environment({ PATH: path }),
        timeoutMs: 60_000,
      });
      const printed = typed.stdout.split(/=== end of \d+\n/);
      for (const [index, { shown }] of steps.entries())
        for (const line of shown) expect(comparable(printed[index] ?? "")).toContain(comparable(line));
    },
    90_000,
  );
});
