import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect } from "vitest";
import { configuration, type TestConfiguration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable, trainlock } from "../support/trainlock.ts";
import { startTerminal, type Terminal } from "./terminal.ts";

const test = requiresPrograms("tmux", "bash", "python3", "less");

interface Shell extends Terminal {
  readonly of: TestConfiguration;
}

/** A shell in which `$RUN` is `trainlock run … --` for a configuration of its own. */
async function shell(): Promise<Shell> {
  const of = configuration(await temporaryRoot());
  const terminal = await startTerminal({ RUN: [executable, "run", ...of.args, "--"].join(" ") });
  return Object.assign(terminal, { of });
}

const fullScreen = `
import curses
def main(screen):
    while True:
        screen.erase()
        screen.addstr(3, 3, "size %d x %d" % screen.getmaxyx())
        screen.refresh()
        if screen.getch() == ord("q"): return
curses.wrapper(main)
`;

const isFree = async ({ of }: Shell) => (await trainlock(["check", ...of.args])).exitCode === 0;

describe("run at a terminal", () => {
  test("says when it starts and when it has ended", async () => {
    const at = await shell();
    at.type("$RUN echo trained; echo code=$?");
    const screen = await at.shows(/^code=0$/m);
    expect(screen).toMatch(/^Lock acquired \(generation 1\)\. Starting training…$/m);
    expect(screen).toMatch(/^trained$/m);
    expect(screen).toMatch(/^Training ended after \d+ s \(exit code 0\)$/m);
  });

  test("says nothing of its own with --quiet", async () => {
    const at = await shell();
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the shell's
    at.type("${RUN% --} --quiet -- echo trained; echo code=$?");
    const screen = await at.shows(/^code=0$/m);
    expect(screen).toMatch(/^trained$/m);
    expect(screen).not.toMatch(/Lock acquired|Training ended/);
  });

  for (const [how, script] of [
    ["that dies of it", "echo running; exec sleep 1000"],
    ["that exits with 130 of its own", "trap 'exit 130' INT; echo running; while :; do sleep 0.1; done"],
  ]) {
    test(`Ctrl-C interrupts a run ${how}: that is no failed attempt`, async () => {
      const at = await shell();
      await writeFile(join(at.of.root, "train.sh"), String(script));
      at.type(`$RUN bash ${join(at.of.root, "train.sh")}`);
      await at.shows(/^running$/m);
      at.press("C-c");
      await at.shows(/Training ended/);
      const { ends } = JSON.parse(await readFile(at.of.markerRecord, "utf8")).trainlock;
      expect(ends).toMatchObject({ last_end: "interrupted", last_exit: 130, attempts: 0, interruptions: 1 });
    });
  }

  test("Ctrl-C ends the command and gives the lock back", async () => {
    const at = await shell();
    at.type("$RUN sh -c 'echo running; exec sleep 1000'");
    await at.shows(/^running$/m);
    at.press("C-c");
    await at.shows(/Training ended/);
    at.type("echo code=$?");
    await at.shows(/^code=130$/m);
    expect(await isFree(at)).toBe(true);
  });

  test("a command that catches Ctrl-C gets each one, once", async () => {
    const at = await shell();
    at.type(
      "$RUN bash -c 'n=0; trap \"echo int \\$((++n))\" INT; echo running; until ((n == 2)); do sleep 0.1; done; exit 5'; echo code=$?",
    );
    await at.shows(/^running$/m);
    at.press("C-c");
    await at.shows(/int 1$/m);
    at.press("C-c");
    const screen = await at.shows(/^code=5$/m);
    expect(screen.match(/int \d/g)).toEqual(["int 1", "int 2"]);
  });

  test("Ctrl-C ends the script around it, too, as it would without trainlock", async () => {
    const at = await shell();
    at.type("bash -c 'for n in 1 2 3; do $RUN sh -c \"echo round $n; exec sleep 1000\"; done; echo over'");
    await at.shows(/^round 1$/m);
    at.press("C-c");
    await at.shows(/Training ended/);
    at.type("echo code=$?");
    const screen = await at.shows(/^code=130$/m);
    expect(screen).not.toMatch(/^round 2$|^over$/m);
  });

  test("Ctrl-Z stops it, bg and fg continue it, and the lock is held all along", async () => {
    const at = await shell();
    at.type("$RUN sh -c 'echo running; exec cat'");
    await at.shows(/^running$/m);
    at.press("C-z");
    await at.shows(/Stopped/);
    expect(await isFree(at)).toBe(false);
    at.type("fg");
    // What is typed before the shell has taken its line editor off the terminal arrives as that had it, without line ends.
    await at.shows(/^\$ fg\n\$RUN/m);
    at.type("one line");
    await at.shows(/^one line\none line$/m);
    at.press("C-z");
    await at.shows(/Stopped[\s\S]*Stopped/);
    at.type("fg");
    await at.shows(/(?:^\$ fg\n\$RUN[\s\S]*){2}/m);
    at.press("C-d");
    await at.shows(/Training ended/);
    expect(await isFree(at)).toBe(true);
  });

  test("in the background it is stopped by reading, and fg gives it the terminal", async () => {
    const at = await shell();
    at.type("$RUN sh -c 'read line; echo got $line' &");
    await at.shows(/Lock acquired/);
    at.type("until jobs | grep Stopped; do sleep 0.1; done");
    await at.shows(/Stopped/);
    at.type("fg");
    await at.shows(/^\$ fg\n\$RUN/m);
    at.type("word");
    await at.shows(/^got word$/m);
    expect(await isFree(at)).toBe(true);
  });

  for (const [how, command, meanwhile] of [
    ["by itself", "sleep 1", "sleep 3"],
    ["by a signal", "sleep 100", "(sleep 1; exec kill $!) & sleep 3"],
  ]) {
    test(`in the background it ends ${how}, and the terminal stays as the shell has it`, async () => {
      const at = await shell();
      at.type(`$RUN ${command} &`);
      await at.shows(/Lock acquired/);
      at.type(`${meanwhile}; stty -a`);
      const screen = await at.shows(/icanon[\s\S]*echo/);
      expect(screen).toMatch(/Training ended/);
      expect(screen).not.toMatch(/-icanon|-echo |-icrnl/);
    });
  }

  test("an interactive python stays interactive", async () => {
    const at = await shell();
    at.type("$RUN python3 -q; echo code=$?");
    await at.shows(/^>>>/m);
    at.type("import sys; print(6 * 7, sys.stdin.isatty())");
    await at.shows(/^42 True$/m);
    at.type("import time; time.sleep(1000)");
    at.press("C-c");
    await at.shows(/^KeyboardInterrupt\n>>>/m);
    at.type("exit(7)");
    await at.shows(/^code=7$/m);
  });

  test("a full-screen program has the whole screen, and hears of its resizing", async () => {
    const at = await shell();
    const program = join(at.of.root, "screen.py");
    await writeFile(program, fullScreen);
    at.type(`$RUN python3 ${program}`);
    await at.shows(/^ {3}size 30 x 100$/m);
    at.resize(70, 20);
    await at.shows(/^ {3}size 20 x 70$/m);
    at.press("C-z");
    await at.shows(/Stopped/);
    at.type("fg");
    await at.shows(/^ {3}size 20 x 70$/m);
    at.press("q");
    await at.shows(/exit code 0/m);
  });

  test("in a pipeline the pager has the terminal", async () => {
    const at = await shell();
    at.type("$RUN seq 1 500 | less; echo code=$?");
    await at.shows(/^:/m);
    at.press("G");
    await at.shows(/^500$/m);
    at.press("q");
    await at.shows(/^code=0$/m);
  });
});
