import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import { basename, resolve } from "node:path";
import { exportHtml } from "../../board/export.ts";
import { makeWay, socketPath } from "../../board/private-socket.ts";
import { Scanner } from "../../board/scanner.ts";
import { type BoardPlace, type BoardServer, serveBoard } from "../../board/server.ts";
import type { Snapshot } from "../../board/snapshot.ts";
import type { View } from "../../board/view.ts";
import { durationText } from "../../model/durations.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { shellWord } from "../../model/shell-word.ts";
import { localDateTime } from "../../system/clock/local-time.ts";
import { sweepUnfinished, writeByRename } from "../../system/files/write-by-rename.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { defineCommand, flag, optionalOperand, optionalValue, type ValuesOf, value, valueOr } from "../command.ts";
import { print, say } from "../output.ts";
import { axesFrom } from "../plan-axes.ts";
import { openPlanSource, type PlanSource, planSourceOptions } from "../plan-source.ts";
import { planJson } from "../show/plan-data.ts";
import { takeSnapshots, watchOthers } from "../snapshots.ts";
import { parsePositiveDuration } from "../units.ts";

const options = {
  ...planSourceOptions,
  by: value("<down,across>", "the fields of the matrix (strategy,model)"),
  per: valueOr("<field>", "a table for each value of this field; none: one table", "dataset", (_, text) => text),
  port: optionalValue<number>(
    "<port>",
    "a port of 127.0.0.1, with a token in the address; alone: any free port",
    0,
    parsePort,
    (text) => /^\d/.test(text),
  ),
  export: value("<file.html>", "write the page into one file that needs no network, and end"),
  withNames: flag("--export: with users, hosts and paths"),
  interval: valueOr(
    "<duration>",
    "--export: how often you make a new one; the page calls itself old after twice that",
    "10m",
    parsePositiveDuration,
  ),
  quiet: flag("--export: print problems alone, as for cron"),
  for: valueOr("<duration>", "end when nobody has looked for this long", "12h", parsePositiveDuration),
};

type BoardOptions = ValuesOf<typeof options>;

export const command = defineCommand({
  summary: "a page that shows who trains what, what is stuck and what is left",
  options,
  operands: {
    grid: optionalOperand(
      "grid file: .yaml, .csv, .tsv or .jsonl (else the site's grid, else all configurations that are known)",
    ),
  },
  notes:
    "The page is read-only. It is found at a socket that only you can open; `ssh -L` brings it to your laptop. The folders are " +
    "looked at every 10 s while somebody looks at the page, and never otherwise.",
  examples: [
    "trainlock board grid.yaml",
    "trainlock board grid.yaml --by strategy,model --per dataset",
    "trainlock board grid.yaml --port 8470",
    "trainlock board grid.yaml --export public/board.html \\\n    --interval 5m --quiet      # in cron, every 5 minutes",
  ],
  exitCodes: {
    0: "ended, or the file is written",
    2: "the call or the grid is wrong",
    3: "no such root, or no private folder for the socket",
  },
  execute: ({ grid, ...given }) => board(grid, given),
});

async function board(gridFile: string | undefined, given: BoardOptions): Promise<number> {
  const others = watchOthers();
  const source = openPlanSource(gridFile, given, { watching: others.asks });
  const standard = standardView(given, source);
  const title = gridFile === undefined ? basename(source.layout.root) : basename(gridFile);
  if (given.export !== undefined) return exportTo(given.export, given, source, title, standard);
  // A mistake in the grid is reported now, not on the page.
  if (gridFile !== undefined) await source.rows();
  const takeSnapshot = takeSnapshots(source);
  const scanner = new Scanner<Snapshot>(async () => {
    const snapshot = await takeSnapshot();
    // A scan of 10,000 folders leaves as much behind as the runtime itself takes. The collector would wait, and keep 15 MB more.
    Bun.gc(true);
    Bun.shrink();
    return snapshot;
  }, others.takeAskedMs);
  const place = await placeFor(given, `${source.layout.root}\0${gridFile === undefined ? "" : resolve(gridFile)}`);
  const server = serveBoard({
    place,
    scanner,
    title,
    root: source.layout.root,
    standard,
    json: ({ plan, atMs }) => planJson(plan, gridFile ?? null, new Date(atMs)),
    idleMs: given.for,
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => server.stop());
  print(howToLook(place, server));
  await server.ended;
  return exitCodes.ok;
}

async function placeFor({ port }: BoardOptions, shows: string): Promise<BoardPlace> {
  // 128 bits: nobody guesses it.
  if (port !== undefined) return { kind: "port", port, token: randomBytes(16).toString("hex") };
  const path = socketPath(shows);
  await makeWay(path);
  return { kind: "socket", path };
}

const laptopPort = 8470;

/** A login node is named as itself: its other name may lead to another node. */
function howToLook(place: BoardPlace, { port }: BoardServer): string {
  const here = `${thisHost().user}@${hostname()}`;
  if (place.kind === "port") {
    return (
      `On this host:  http://127.0.0.1:${port}/${place.token}/\n` +
      `From a laptop: ssh -N -L ${port}:127.0.0.1:${port} ${shellWord(here)}\n` +
      "and then open  the same address\n" +
      "Whoever has the address can look. Ctrl-C ends the board.\n"
    );
  }
  return (
    `Socket: ${printable(place.path)}\n` +
    `From a laptop: ssh -N -L ${laptopPort}:${shellWord(place.path)} ${shellWord(here)}\n` +
    `and then open  http://localhost:${laptopPort}/\n` +
    "Ctrl-C ends the board.\n"
  );
}

async function exportTo(
  file: string,
  { interval, withNames, quiet }: BoardOptions,
  source: PlanSource,
  title: string,
  view: View,
): Promise<number> {
  const snapshot = await takeSnapshots(source)();
  const settings = { title, withNames, root: source.layout.root, view, intervalMs: interval };
  const path = resolve(file);
  writeByRename(path, Buffer.from(exportHtml(snapshot, settings)));
  sweepUnfinished(path);
  for (const problem of snapshot.problems) say(`trainlock: ${printable(problem)}`);
  if (!quiet)
    print(`${printable(file)}: as of ${localDateTime(snapshot.atMs)}, old after ${durationText(2 * interval)}\n`);
  return snapshot.problems.length === 0 ? exitCodes.ok : exitCodes.environment;
}

function standardView(given: BoardOptions, { reader: { names } }: PlanSource): View {
  const [down, across] = axesFrom(given.by, names);
  if (given.per !== "none" && !names.includes(given.per))
    throw new UsageError(`--per: no field is called ${JSON.stringify(given.per)}`, {
      hint: `none, or one of ${names.join(", ")}`,
    });
  const per = given.per === "none" || given.per === down || given.per === across ? null : given.per;
  return { down, across, per, find: "", state: null, sort: null };
}

function parsePort(name: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (port <= 65_535) return port;
  throw new UsageError(`${name} ${JSON.stringify(text)} is not a port`, { hint: "0 to 65535; 0: any free one" });
}
