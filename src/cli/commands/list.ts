import { listLocks } from "../../listing/list-locks.ts";
import { lockJson } from "../../listing/lock-json.ts";
import type { LockReport } from "../../listing/lock-report.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { localTime } from "../../system/clock/local-time.ts";
import { sleep } from "../../system/clock/sleep.ts";
import { thisHost } from "../../system/processes/this-host.ts";
import { choice, defineCommand, flag, negatedFlag, requireChoice, type ValuesOf, value } from "../command.ts";
import { evidenceOptions, examineFrom } from "../evidence-options.ts";
import { kindOptions, kindsFrom } from "../kind-options.ts";
import { isTerminal, print, printJson } from "../output.ts";
import { listText } from "../show/lock-text.ts";
import { paintFor } from "../show/paint.ts";
import { shortText, sortedBy, sortKeys, statuses, trainingsOf } from "../show/short-text.ts";
import { noneIn, sayUnseen, type Unseen, unseenJson } from "../show/unseen-text.ts";
import { jsonOption, layoutFrom, siteOptions } from "../site-options.ts";
import { parsePositiveDuration } from "../units.ts";

type ListOptions = ValuesOf<typeof options>;

const watchEveryText = "2s";
const shortColumns = 80;
/** Cursor home, and all below it erased: the next list over the last one. */
const overwriteScreen = "\x1b[H\x1b[J";

const options = {
  ...siteOptions,
  ...kindOptions,
  ...jsonOption,
  ...evidenceOptions,
  verbose: flag("print the evidence behind each verdict, one line each", "v"),
  verifyPid: negatedFlag("check no process or host: show every lock as UNVERIFIED (faster)"),
  watch: flag("list again and again until Ctrl-C"),
  every: value("<duration>", `--watch: how often (${watchEveryText})`, parsePositiveDuration),
  short: flag("one line a training, in 80 columns: name, state, user, job, host, elapsed time"),
  mine: flag("only those of this user"),
  status: value("<list>", `only these, separated by commas: ${statuses.join(", ")}`, parseStatuses),
  failOn: value("<list>", "exit 1 if a lock has one of these states, for monitoring: stale,unknown", parseStatuses),
  sort: choice("<by>", "the order of --short", sortKeys),
};

export const command = defineCommand({
  summary: "list every lock under the root and whether it is active",
  options,
  examples: [
    "trainlock list --root /data",
    "trainlock list -v --hosts node01,node02",
    "trainlock list --file-only",
    "trainlock list --short --mine --status active,unknown --sort elapsed",
    "trainlock list --short --watch --every 30s",
    "trainlock list --short --fail-on stale,unknown   # in a monitoring check",
    "trainlock list --json | jq '.locks[] | select(.status == \"stale\")'",
  ],
  exitCodes: {
    0: "listed",
    1: "with --fail-on: a lock has such a state",
    2: "the call is wrong",
    3: "no such root, or a folder or the store could not be read (the rest is listed)",
  },
  execute: list,
});

async function list(given: ListOptions): Promise<number> {
  if (given.watch && given.json)
    throw new UsageError("--watch and --json exclude each other", { hint: "--json is one document" });
  if (given.sort !== undefined && !given.short)
    throw new UsageError("--sort is for --short", { hint: "the other lists have a fixed order" });
  if (given.every !== undefined && !given.watch)
    throw new UsageError("--every is for --watch", { hint: "add --watch" });
  const everyMs = given.every ?? parsePositiveDuration("--every", watchEveryText);
  const layout = layoutFrom(given);
  const site = { layout, kinds: kindsFrom(given), examine: examineFrom(given, layout) };
  for (;;) {
    const unreadable = new Map<string, string>();
    const links: string[] = [];
    let store: Unseen["store"];
    const found = await listLocks({
      ...site,
      verify: given.verifyPid,
      onUnreadable: (path, errno) => unreadable.set(path, errno),
      onLink: (path) => links.push(path),
      onStoreFault: (address, error) => {
        store = { address, error };
      },
    });
    const locks = found.filter((lock) => isWanted(lock, given));
    const unseen: Unseen = { unreadable, links, ...(store === undefined ? {} : { store }) };
    if (given.json) printJson({ total: locks.length, locks: locks.map(lockJson), ...unseenJson(unseen) });
    else print((given.watch ? watchHead(everyMs) : "") + textOf(locks, unseen, given));
    sayUnseen(unseen, "; its locks are not listed");
    if (!given.watch) {
      if (unreadable.size > 0 || store !== undefined) return exitCodes.environment;
      return locks.some(({ verdict }) => given.failOn?.includes(verdict.status)) ? exitCodes.locked : exitCodes.ok;
    }
    await sleep(everyMs);
  }
}

function isWanted({ user, verdict }: LockReport, { mine, status }: ListOptions): boolean {
  return (!mine || user === thisHost().user) && (status === undefined || status.includes(verdict.status));
}

function textOf(locks: readonly LockReport[], unseen: Unseen, given: ListOptions): string {
  const nothing = locks.length === 0 ? noneIn("lock", unseen) : null;
  if (nothing !== null) return nothing;
  const paint = paintFor(1, given.color);
  if (!given.short) return listText(locks, paint, given.verbose);
  const columns = isTerminal(1) ? Math.max(shortColumns, process.stdout.columns ?? 0) : shortColumns;
  return shortText(sortedBy(trainingsOf(locks), given.sort ?? "name"), Date.now(), columns, paint);
}

function parseStatuses(given: string, text: string): readonly string[] {
  const words = text.split(",").map((word) => word.trim().toLowerCase());
  return words.map((word) => requireChoice(given, word, statuses));
}

function watchHead(everyMs: number): string {
  const head = `Every ${everyMs / 1000} s, ${localTime(Date.now())} (Ctrl-C ends)\n\n`;
  return isTerminal(1) ? overwriteScreen + head : head;
}
