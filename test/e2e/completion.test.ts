import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, trainlock } from "../support/trainlock.ts";
import { startTerminal } from "../terminal/terminal.ts";

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
async function offered(words: readonly string[], cwd?: string): Promise<string[]> {
  const path = await script("bash");
  const program = `
    source "$1"; shift
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=\${#COMP_LINE}
    registered=$(complete -p trainlock); [[ $registered =~ -F\\ ([^ ]+) ]] || exit 1
    "\${BASH_REMATCH[1]}" trainlock "\${COMP_WORDS[COMP_CWORD]}" "\${COMP_WORDS[COMP_CWORD - 1]}"
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { exitCode, stdout, stderr } = await finish("bash", ["-c", program, "bash", path, ...words], {
    env: environment(),
    ...(cwd === undefined ? {} : { cwd }),
  });
  expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
  return stdout.split("\n").map((word) => word.trim());
}

requiresPrograms("bash")("bash is offered commands and options", async () => {
  expect(await offered(["trainlock", "ch"])).toContain("check");
  expect(await offered(["trainlock", "check", "--str"])).toContain("--strategy");
  expect(await offered(["trainlock", "list", "--fc"])).toContain("--fcntl-only");
});

/** A site with two strategies on disk and a third in its grid, and files of which some are grids. */
async function site(): Promise<string> {
  const root = await temporaryRoot();
  for (const [strategy, model] of [
    ["baseline", "pspnet_r50"],
    ["std_mixup", "segformer_mit-b5"],
  ]) {
    await mkdir(join(root, "WEIGHTS", `${strategy}`, "idd-aw_cd", `${model}`), { recursive: true });
  }
  const grid = "grid: { strategy: gen_TSIT, dataset: [IDD-AW, BDD10k], model: pspnet_r50 }\n";
  await writeFile(join(root, "trainlock.yaml"), grid);
  for (const name of ["grid.yaml", "grid.csv", "notes.txt"]) await writeFile(join(root, name), "");
  return root;
}

requiresPrograms("bash")(
  "bash is offered what the disk and the site's grid have: strategies, models, names, grid files",
  async () => {
    const root = await site();
    const values = (...words: string[]) => offered([executable, "check", "--root", root, ...words]);
    expect(await values("--strategy", "")).toEqual(["baseline", "gen_TSIT", "std_mixup", ""]);
    expect(await values("--strategy", "std")).toEqual(["std_mixup", ""]);
    expect(await values("--strategy", "=", "b")).toEqual(["baseline", ""]);
    expect(await values("--model", "p")).toEqual(["pspnet_r50", ""]);
    expect(await values("--dataset", "")).toEqual(["BDD10k", "IDD-AW", ""]);
    expect(await offered([executable, "plan", "--root", root, "--strategy", "baseline,"])).toEqual([
      "baseline,gen_TSIT",
      "baseline,std_mixup",
      "",
    ]);
    expect(await offered([executable, "why", "--root", root, "gen"])).toEqual([
      "gen_TSIT/bdd10k/pspnet_r50",
      "gen_TSIT/idd-aw/pspnet_r50",
      "",
    ]);
    expect((await offered(["trainlock", "plan", "g"], root)).sort()).toEqual(["", "grid.csv", "grid.yaml"]);
    expect(await offered([executable, "check", "--root", join(root, "nowhere"), "--strategy", ""])).toEqual(["", ""]);
  },
);

requiresPrograms("bash")("bash is offered states, pages and commands, and nothing where nothing is known", async () => {
  const root = await site();
  const words = async (line: readonly string[], cwd?: string) =>
    (await offered(line, cwd)).filter((word) => word !== "").sort();
  const states = await words(["trainlock", "plan", "--state", "f"], root);
  expect(states).toEqual(["failed", "free"]);
  expect(await words(["trainlock", "plan", "--state", "free,st"])).toEqual(["free,stale"]);
  expect(await words(["trainlock", "history", "--state", "i"])).toEqual(["interrupted"]);
  expect(await words(["trainlock", "history", "--since", ""])).toEqual([]);
  expect(await words(["trainlock", "help", "tu"])).toEqual(["tutorial"]);
  const pages = await words(["trainlock", "help", ""]);
  expect(pages).toEqual(expect.arrayContaining(["run", "run.md", "grids"]));
  expect(pages).not.toContain("--help");
  expect(await words(["trainlock", "history", ""])).toEqual(["prune"]);
  expect(await words(["trainlock", "completion", "z"])).toEqual(["zsh"]);
});

requiresPrograms("tmux")("bash shows names of configurations whole, in a terminal", async () => {
  const root = await site();
  const path = `${dirname(executable)}:${process.env.PATH}`;
  const terminal = await startTerminal({ PATH: path, COMPLETION: await script("bash") });
  terminal.type("source $COMPLETION; clear");
  terminal.type(`cd ${root}; export TRAINLOCK_ROOT=$PWD; clear`);
  await terminal.shows(/^\$ *$/m);
  for (const key of "trainlock why gen") terminal.press(key === " " ? "Space" : key);
  terminal.press("Tab");
  await terminal.shows(/trainlock why gen_TSIT\//);
  terminal.press("Tab");
  terminal.press("Tab");
  await terminal.shows(/^gen_TSIT\/bdd10k\/pspnet_r50 +gen_TSIT\/idd-aw\/pspnet_r50/m);
});

requiresPrograms("fish")("fish is offered states and pages, too", async () => {
  const path = `${dirname(executable)}:${process.env.PATH}`;
  for (const [line, ...wanted] of [
    ["plan --state f", "failed", "free"],
    ["plan --state free,st", "free,stale"],
    ["help tu", "tutorial"],
  ]) {
    const program = `source $argv[1]; complete -C "trainlock ${line}"`;
    const { stdout } = await finish("fish", ["-c", program, await script("fish")], {
      env: environment({ PATH: path }),
    });
    expect(
      stdout
        .trim()
        .split("\n")
        .map((word) => word.split("\t")[0]),
    ).toEqual(wanted);
  }
});

requiresPrograms("fish")("fish is offered them, too", async () => {
  const root = await site();
  const program = `source $argv[1]; complete -C "trainlock check --root ${root} --strategy b"`;
  const path = `${dirname(executable)}:${process.env.PATH}`;
  const { stdout } = await finish("fish", ["-c", program, await script("fish")], { env: environment({ PATH: path }) });
  expect(stdout).toMatch(/^baseline\b/);
  expect(stdout.trim().split("\n")).toHaveLength(1);
});

requiresPrograms("zsh")("an interactive zsh completes them, too, in a terminal", async () => {
  const root = await site();
  const typed = `
    zmodload zsh/zpty
    zpty shell "zsh -f -i"
    zpty -w shell "autoload -U compinit; compinit -u -D; source $1; print READ''Y"
    zpty -r shell answer '*READY*'
    zpty -w -n shell "$2"$'\\t'
    zpty -r shell answer '*--strategy baseline*'
    zpty -w -n shell $'--model p\\t'
    zpty -r shell answer '*--model pspnet_r50*'
    zpty -w shell $'\\x15'
    zpty -w -n shell $'trainlock plan --state fr\\t'
    zpty -r shell answer '*--state free*'
    zpty -w shell $'\\x15'
    zpty -w -n shell $'trainlock help tu\\t'
    zpty -r shell answer '*help tutorial*'
    print completed`;
  const path = `${dirname(executable)}:${process.env.PATH}`;
  const line = `trainlock check --root ${root} --strategy b`;
  const called = await finish("zsh", ["-f", "-c", typed, "zsh", await script("zsh"), line], {
    env: environment({ PATH: path, TERM: "dumb" }),
  });
  expect(called).toMatchObject({ exitCode: 0, stdout: "completed\n" });
});

test("completion for any other shell: exit code 2, naming it", async () => {
  const called = await trainlock(["completion", "tcsh"]);
  expect(called).toMatchObject({ exitCode: 2, stdout: "", stderr: expect.stringContaining("tcsh") });
});
