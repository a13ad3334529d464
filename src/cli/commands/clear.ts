import { eventHolder } from "../../history/event.ts";
import { openEventLog } from "../../history/event-log.ts";
import { type ClearResult, clearLocks } from "../../listing/clear-locks.ts";
import { lockJson } from "../../listing/lock-json.ts";
import { repairFiles } from "../../listing/repair-files.ts";
import { resetGeneration } from "../../listing/reset-generation.ts";
import type { Configuration } from "../../model/configuration.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import type { Layout } from "../../site/layout.ts";
import { nobodyKnown } from "../../stores/record-holder.ts";
import { sweepLockDir } from "../../stores/sweep-lock-dir.ts";
import { defineCommand, eitherFlag, flag, neverSuggested, type ValuesOf } from "../command.ts";
import { evidenceOptions, examineFrom } from "../evidence-options.ts";
import { kindOptions, kindsFrom } from "../kind-options.ts";
import { print, printJson, say } from "../output.ts";
import { briefLockText } from "../show/lock-text.ts";
import { type Paint, paintFor } from "../show/paint.ts";
import { noneIn, sayUnseen, type Unseen, unseenJson } from "../show/unseen-text.ts";
import { configurationOptions, jsonOption, layoutFrom, openWith, siteOptions } from "../site-options.ts";

const options = {
  ...siteOptions,
  ...kindOptions,
  ...jsonOption,
  ...evidenceOptions,
  ...configurationOptions,
  dryRun: neverSuggested(eitherFlag("only show what would be removed (the default)", "remove them")),
  force: neverSuggested(
    flag("unknown locks as well: only when you are certain that nothing runs. Active ones are never removed"),
  ),
  repair: neverSuggested(
    flag("of the configuration: move aside what stands where its files belong (a folder, a lock file with two names)"),
  ),
  resetGeneration: neverSuggested(
    flag("of the configuration: let its generations go on above the highest number that records and done files name"),
  ),
};

export const command = defineCommand({
  summary: "show stale locks, of all or of one configuration; with --no-dry-run, remove them",
  options,
  examples: [
    "trainlock clear",
    "trainlock clear --no-dry-run",
    "trainlock clear --file-only --force --no-dry-run",
    "trainlock clear --strategy baseline --dataset IDD-AW \\\n    --model deeplabv3plus_r50 --no-dry-run",
  ],
  exitCodes: {
    0: "done",
    2: "the call is wrong",
    3: "something could not be read or removed; the rest is done",
  },
  execute: clear,
});

async function clear(given: ValuesOf<typeof options>): Promise<number> {
  const unreadable = new Map<string, string>();
  const links: string[] = [];
  let store: Unseen["store"];
  const { layout, configuration } = meant(given);
  const dryRun = given.dryRun ?? true;
  if (given.repair && configuration !== null) return repair(given, layout, configuration, dryRun);
  const result = await clearLocks({
    layout,
    configuration,
    kinds: kindsFrom(given),
    dryRun,
    force: given.force,
    examine: examineFrom(given, layout),
    onUnreadable: (path, errno) => unreadable.set(path, errno),
    onLink: (path) => links.push(path),
    onStoreFault: (address, error) => {
      store = { address, error };
    },
  });
  if (!dryRun) {
    await noteCleared(layout, result);
    sweepLockDir(layout.lockDir, layout.site.lockPrimitive);
  }
  const next =
    given.resetGeneration && configuration !== null ? await resetGeneration(layout, configuration, dryRun) : null;
  const unseen: Unseen = { unreadable, links, ...(store === undefined ? {} : { store }) };
  if (given.json) {
    printJson({
      dryRun,
      removed: result.removed.map(lockJson),
      kept: result.kept.map(lockJson),
      failed: result.failed.map(({ lock, error }) => ({ lock: lockJson(lock), error: error.message })),
      ...(next === null ? {} : { nextGeneration: next }),
      ...unseenJson(unseen),
    });
  } else
    print(
      `${clearText(result, noneIn("stale lock", unseen), paintFor(1, given.color))}${next === null ? "" : resetText(next, dryRun)}`,
    );
  for (const lock of result.changed) {
    say(
      `trainlock: kept ${printable(lock.path)}: it has changed, or is in use, since it was found ${lock.verdict.label}`,
    );
  }
  if (!given.json) sayUnknown(result, given.force);
  for (const { error } of result.failed)
    say(`trainlock: ${printable(error.message)}${error.hint === undefined ? "" : `\n  ${error.hint}`}`);
  sayUnseen(unseen, "");
  const isDone = result.failed.length + unreadable.size === 0 && store === undefined;
  return isDone ? exitCodes.ok : exitCodes.environment;
}

const mostNamed = 20;

/** Where nothing was removed, nothing says yet that locks are left that nobody could judge. */
function sayUnknown({ removed, kept }: ClearResult, isForced: boolean): void {
  const unknown = kept.filter(({ verdict }) => verdict.status === "unknown");
  if (unknown.length === 0 || removed.length > 0) return;
  for (const { name, verdict, path } of unknown.slice(0, mostNamed))
    say(`trainlock: kept ${printable(name)} [${verdict.label}]: ${printable(path)}`);
  if (unknown.length > mostNamed) say(`trainlock: kept ${unknown.length - mostNamed} more unknown locks`);
  if (!isForced) say("  trainlock why NAME says why; --force removes them, once you know that nobody trains there");
}

async function repair(
  given: ValuesOf<typeof options>,
  layout: Layout,
  configuration: Configuration,
  dryRun: boolean,
): Promise<number> {
  const moved = await repairFiles(layout, configuration, examineFrom(given, layout), dryRun);
  if (given.json) printJson({ dryRun, moved });
  else if (moved.length === 0) print("Nothing stands where a file belongs\n");
  else {
    const lines = moved.map(({ path, to }) => `  ${printable(path)}${dryRun ? "" : ` -> ${printable(to)}`}\n`);
    const [head, end] = dryRun ? ["Would move aside", "Run with --no-dry-run to move\n"] : ["Moved aside", ""];
    print(`${head}:\n${lines.join("")}${end}`);
  }
  return exitCodes.ok;
}

async function noteCleared(layout: Layout, { removed }: ClearResult): Promise<void> {
  const history = openEventLog(layout, (text) => say(`trainlock: ${printable(text)}`));
  for (const { name, path, verdict, holder, pid } of removed) {
    const by = holder ?? { ...nobodyKnown, pid };
    const subject = { token: null, generation: by.generation, name };
    history.add(subject, { event: "cleared", path, label: verdict.label, holder: eventHolder(by) });
  }
  await history.settled();
}

/** Whose locks: those of the one configuration that is named, or all. */
function meant(given: ValuesOf<typeof options>): { layout: Layout; configuration: Configuration | null } {
  const named = Object.keys(configurationOptions) as (keyof typeof configurationOptions)[];
  if (named.some((key) => given[key] !== undefined)) return openWith(given);
  const flag = given.resetGeneration ? "--reset-generation" : given.repair ? "--repair" : null;
  if (flag !== null)
    throw new UsageError(`${flag} is for one configuration, and none is named`, {
      hint: "give --strategy, --dataset and --model",
    });
  return { layout: layoutFrom(given), configuration: null };
}

function resetText(next: number, dryRun: boolean): string {
  return dryRun
    ? `The next generation would be ${next}\nRun with --no-dry-run to reset it\n`
    : `The next generation is ${next}\n`;
}

/** `none`: what to say instead of that there is none. */
function clearText(result: ClearResult, none: string | null, paint: Paint): string {
  const { dryRun, removed, kept, failed } = result;
  if (removed.length === 0 && failed.length === 0) return none ?? "No stale locks found\n";
  const plural = removed.length === 1 ? "lock" : "locks";
  // With --force some of them are not stale, and must not be called so.
  const kind = removed.every(({ verdict }) => verdict.status === "stale") ? "stale" : "stale or unknown";
  const head = dryRun
    ? `Found ${removed.length} ${kind} ${plural} (dry run):`
    : `Cleared ${removed.length} ${kind} ${plural}:`;
  const list = removed.map((lock) => briefLockText(lock, paint)).join("");
  return `${head}\n${list}${keptText(kept)}${dryRun ? "Run with --no-dry-run to remove\n" : ""}`;
}

function keptText(kept: ClearResult["kept"]): string {
  if (kept.length === 0) return "";
  const count = (status: string) => kept.filter(({ verdict }) => verdict.status === status).length;
  const changed = count("stale") === 0 ? "" : `, ${count("stale")} changed`;
  return `Kept ${kept.length} ${kept.length === 1 ? "lock" : "locks"}: ${count("active")} active, ${count("unknown")} unknown${changed}\n`;
}
