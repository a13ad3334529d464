import type { Command } from "commander";
import { type ListRequest, listLocks } from "../../listing/list-locks.ts";
import { lockJson } from "../../listing/lock-json.ts";
import { exitCodes, UsageError } from "../../model/errors.ts";
import { sleep } from "../../system/clock/sleep.ts";
import { addEvidenceOptions, type EvidenceOptions, examineFrom } from "../evidence-options.ts";
import { helpEnd } from "../help.ts";
import { print, printJson, say } from "../output.ts";
import { listText } from "../show/lock-text.ts";
import { paintFor } from "../show/paint.ts";
import { printable } from "../show/printable.ts";
import { addJsonOption, addSiteOptions, layoutFrom, type SiteOptions } from "../site-options.ts";

export interface KindOptions {
  readonly fileOnly?: boolean;
  readonly fcntlOnly?: boolean;
}

interface ListOptions extends SiteOptions, KindOptions, EvidenceOptions {
  readonly verbose?: boolean;
  readonly verifyPid: boolean;
  readonly watch?: boolean;
}

const watchEveryMs = 2000;
/** Cursor home, and all below it erased: the next list over the last one. */
const overwriteScreen = "\x1b[H\x1b[J";

export function addKindOptions(command: Command): Command {
  return command
    .option("--file-only", "only markers (.training_lock)")
    .option("--fcntl-only", "only kernel locks (training_locks/*.lock)");
}

export function kindsFrom({ fileOnly, fcntlOnly }: KindOptions): ListRequest["kinds"] {
  if (fileOnly && fcntlOnly)
    throw new UsageError("--file-only and --fcntl-only exclude each other", { hint: "leave both out for all locks" });
  return fileOnly ? ["file"] : fcntlOnly ? ["fcntl"] : ["file", "fcntl", "etcd"];
}

export function addListCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program.command("list").description("list every lock under the root and whether it is active");
  addEvidenceOptions(addJsonOption(addKindOptions(addSiteOptions(command))))
    .option("-v, --verbose", "print the evidence behind each verdict, one line each")
    .option("--no-verify-pid", "check no process or host: show every lock as UNVERIFIED (faster)")
    .option("--watch", "list again every 2 s until Ctrl-C")
    .addHelpText(
      "after",
      helpEnd(
        [
          "trainlock list --root /data",
          "trainlock list -v --hosts node01,node02",
          "trainlock list --file-only",
          "trainlock list --json | jq '.locks[] | select(.status == \"stale\")'",
        ],
        { 0: "listed", 2: "the call is wrong", 3: "no such root, or a folder could not be read (the rest is listed)" },
      ),
    )
    .action(async (options: ListOptions) => done(await list(options)));
}

async function list(options: ListOptions): Promise<number> {
  if (options.watch && options.json)
    throw new UsageError("--watch and --json exclude each other", { hint: "--json is one document" });
  const layout = layoutFrom(options);
  const site = { layout, kinds: kindsFrom(options), examine: examineFrom(options, layout) };
  for (;;) {
    const unreadable = new Map<string, string>();
    const locks = await listLocks({
      ...site,
      verify: options.verifyPid,
      onUnreadable: (path, errno) => unreadable.set(path, errno),
    });
    if (options.json) printJson({ total: locks.length, locks: locks.map(lockJson) });
    else {
      const head = options.watch ? watchHead() : "";
      print(head + listText(locks, paintFor(process.stdout, options.color), options.verbose));
    }
    for (const [path, errno] of unreadable)
      say(`trainlock: cannot look into ${printable(path)}: ${errno}; its locks are not listed`);
    if (!options.watch) return unreadable.size === 0 ? exitCodes.ok : exitCodes.environment;
    await sleep(watchEveryMs);
  }
}

function watchHead(): string {
  const head = `Every ${watchEveryMs / 1000} s, ${new Date().toLocaleTimeString("sv")} (Ctrl-C ends)\n\n`;
  return process.stdout.isTTY ? overwriteScreen + head : head;
}
