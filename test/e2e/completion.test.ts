import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, trainlock } from "../support/trainlock.ts";

/** The script for a shell as a file. */
async function script(shell: string): Promise<string> {
  const { exitCode, stdout, stderr } = await trainlock(["completion", shell]);
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  const path = join(await temporaryRoot(), `completion.${shell}`);
  await writeFile(path, stdout);
  return path;
}

for (const shell of ["bash", "zsh", "fish"] as const) {
  requiresPrograms(shell)(`${shell} accepts its completion script`, async () => {
    const path = await script(shell);
    expect(await finish(shell, ["-n", path], { env: environment() })).toMatchObject({ exitCode: 0, stderr: "" });
  });
}

/** What bash would offer for the last word of a line. */
async function offered(words: readonly string[]): Promise<string[]> {
  const path = await script("bash");
  const program = `
    source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=\${#COMP_LINE}
    registered=$(complete -p trainlock); [[ $registered =~ -F\\ ([^ ]+) ]] || exit 1
    "\${BASH_REMATCH[1]}" trainlock "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { exitCode, stdout, stderr } = await finish("bash", ["-c", program, "bash", path, ...words], {
    env: environment(),
  });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return stdout.split("\n").map((word) => word.trim());
}

requiresPrograms("bash")("bash is offered commands and options", async () => {
  expect(await offered(["trainlock", "ch"])).toContain("check");
  expect(await offered(["trainlock", "check", "--str"])).toContain("--strategy");
  expect(await offered(["trainlock", "list", "--fc"])).toContain("--fcntl-only");
});

test("completion for any other shell: exit code 2, naming it", async () => {
  const called = await trainlock(["completion", "tcsh"]);
  expect(called).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("tcsh") });
});
