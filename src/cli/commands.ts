import type { Command } from "./command.ts";

/** In the order of the help. A call loads the code of its own command only. */
const loaders: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
  run: () => import("./commands/run.ts"),
  check: () => import("./commands/check.ts"),
  held: () => import("./commands/held.ts"),
  list: () => import("./commands/list.ts"),
  clear: () => import("./commands/clear.ts"),
  work: () => import("./commands/work.ts"),
  submit: () => import("./commands/submit.ts"),
  plan: () => import("./commands/plan.ts"),
  why: () => import("./commands/why.ts"),
  top: () => import("./commands/top.ts"),
  board: () => import("./commands/board.ts"),
  init: () => import("./commands/init.ts"),
  config: () => import("./commands/config.ts"),
  history: () => import("./commands/history.ts"),
  doctor: () => import("./commands/doctor.ts"),
  python: () => import("./commands/python.ts"),
  help: () => import("./commands/help.ts"),
  licenses: () => import("./commands/licenses.ts"),
  completion: () => import("./commands/completion.ts"),
  __complete: () => import("./commands/complete.ts"),
  __probe: () => import("./commands/probe.ts"),
  __note: () => import("./commands/note.ts"),
  __guard: () => import("./commands/guard.ts"),
  __python: () => import("./commands/python-dialogue.ts"),
  __spawned: () => import("./commands/spawned.ts"),
  __row: () => import("./commands/row.ts"),
  "__python-keeper": () => import("./commands/python-keeper.ts"),
  __keeper: () => import("./commands/keeper.ts"),
};

/** Null: there is no such command. */
export async function loadCommand(name: string): Promise<Command | null> {
  const load = Object.hasOwn(loaders, name) ? loaders[name] : undefined;
  return load === undefined ? null : (await load()).command;
}

export async function loadCommands(): Promise<ReadonlyMap<string, Command>> {
  const commands = new Map<string, Command>();
  for (const [name, load] of Object.entries(loaders)) commands.set(name, (await load()).command);
  return commands;
}

/** The names of the commands that are meant for users. */
export function commandNames(): readonly string[] {
  return Object.keys(loaders).filter((name) => !name.startsWith("_"));
}
