import { describe, expect, test } from "vitest";
import { configuration, writeMarker } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";

const escapeCode = "\u001b[";

async function rootWithLock(): Promise<string> {
  const root = await temporaryRoot();
  await writeMarker(configuration(root), "12\n34\n");
  return root;
}

/** What reaches a terminal: script(1) gives the command one. */
async function onTerminal(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<string> {
  const command = [executable, ...args].join(" ");
  const options = { env: environment({ TERM: "xterm-256color", ...env }) };
  return (await finish("script", ["--quiet", "--return", "--command", command, "/dev/null"], options)).stdout;
}

describe("colour", () => {
  const terminalTest = requiresPrograms("script");

  terminalTest("is for terminals, unless NO_COLOR or --no-color says otherwise", async () => {
    const root = await rootWithLock();
    const coloured = await onTerminal(["list", "--root", root]);
    expect(coloured).toContain(escapeCode);
    const plain = [
      await onTerminal(["list", "--root", root, "--no-color"]),
      await onTerminal(["list", "--root", root], { NO_COLOR: "1" }),
      await onTerminal(["list", "--root", root, "--json"]),
    ];
    for (const text of plain) {
      expect(text).toContain("UNKNOWN - remote process");
      expect(text).not.toContain(escapeCode);
    }
  });

  test("does not reach a pipe", async () => {
    const root = await rootWithLock();
    const list = await trainlock(["list", "--root", root], { env: { TERM: "xterm-256color" } });
    expect(list.stdout).not.toContain(escapeCode);
  });
});
