import { listLocks } from "../../listing/list-locks.ts";
import { lockJson } from "../../listing/lock-json.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { sleep } from "../../system/clock/sleep.ts";
import { defineCommand, flag, negatedFlag, type ValuesOf } from "../command.ts";
import { evidenceOptions, examineFrom } from "../evidence-options.ts";
import { kindOptions, kindsFrom } from "../kind-options.ts";
import { isTerminal, print, printJson, say } from "../output.ts";
import { listText } from "../show/lock-text.ts";
import { paintFor } from "../show/paint.ts";
import { jsonOption, layoutFrom, siteOptions } from "../site-options.ts";

const watchEveryMs = 2000;
/** Cursor home, and all below it erased: the next list over the last one. */
const overwriteScreen = "\x1b[H\x1b[J";

const options = {
  ...siteOptions,
  ...kindOptions,
  ...jsonOption,
  ...evidenceOptions,
  verbose: flag("print the evidence behind each verdict, one line each", "v"),
  verifyPid: negatedFlag("check no process or host: show every lock as UNVERIFIED (faster)"),
  watch: flag("list again every 2 s until Ctrl-C"),
};

export const command = defineCommand({
  summary: "list every lock under the root and whether it is active",
  options,
  examples: [
    "trainlock list --root /data",
    "trainlock list -v --hosts node01,node02",
    "trainlock list --file-only",
    "trainlock list --json | jq '.locks[] | select(.status == \"stale\")'",
  ],
  exitCodes: {
    0: "listed",
    2: "the call is wrong",
    3: "no such root, or a folder could not be read (the rest is listed)",
  },
  execute: list,
});

async function list(given: ValuesOf<typeof options>): Promise<number> {
  if (given.watch && given.json)
    throw new UsageError("--watch and --json exclude each other", { hint: "--json is one document" });
  const layout = layoutFrom(given);
  const site = { layout, kinds: kindsFrom(given), examine: examineFrom(given, layout) };
  for (;;) {
    const unreadable = new Map<string, string>();
    const locks = await listLocks({
      ...site,
      verify: given.verifyPid,
      onUnreadable: (path, errno) => unreadable.set(path, errno),
    });
    if (given.json) printJson({ total: locks.length, locks: locks.map(lockJson) });
    else {
      const head = given.watch ? watchHead() : "";
      print(head + listText(locks, paintFor(1, given.color), given.verbose));
    }
    for (const [path, errno] of unreadable)
      say(`trainlock: cannot look into ${printable(path)}: ${errno}; its locks are not listed`);
    if (!given.watch) return unreadable.size === 0 ? exitCodes.ok : exitCodes.environment;
    await sleep(watchEveryMs);
  }
}

function watchHead(): string {
  const head = `Every ${watchEveryMs / 1000} s, ${new Date().toLocaleTimeString("sv")} (Ctrl-C ends)\n\n`;
  return isTerminal(1) ? overwriteScreen + head : head;
}
