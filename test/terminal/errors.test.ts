import { expect } from "vitest";
import { requiresPrograms } from "../support/requirements.ts";
import { executable, trainlock } from "../support/trainlock.ts";
import { startTerminal } from "./terminal.ts";

requiresPrograms("tmux")("an error is broken between words on a terminal, and is one line in a pipe", async () => {
  const terminal = await startTerminal({ TRAINLOCK: executable });
  terminal.resize(60, 20);
  terminal.type("clear; $TRAINLOCK list; echo code=$?");
  const screen = await terminal.shows(/^code=2$/m);
  const piped = (await trainlock(["list"])).stderr;
  expect(piped.split("\n")).toHaveLength(3);
  const words = (text: string) => text.split(/\s+/).filter((word) => word !== "");
  const shown = words(screen.slice(screen.indexOf("trainlock: no root"), screen.indexOf("code=2")));
  expect(shown).toEqual(words(piped));
});
