import { describe, expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { startProcess } from "../support/running-process.ts";
import { listed } from "../support/scenarios.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable, run } from "../support/trainlock.ts";
import { lustreWithoutLocks } from "../support/without-kernel-locks.ts";

/** A container whose clock since boot is another than its host's: time_namespaces(7). */
const ahead = ["unshare", "--time", "--boottime", "100000", "--fork", "--kill-child"];
const behind = ["unshare", "--time", "--boottime", "-10", "--fork", "--kill-child"];
const here: readonly string[] = [];

/** Who holds, and who asks, each with a clock of its own. Only the marker excludes: its record names processes by their start. */
const pairs = {
  "ahead of the host's, asked from the host": [ahead, here],
  "the host's, asked from where it is ahead": [here, ahead],
  "the host's, asked from where it is behind": [here, behind],
  "ahead, asked from where it is behind": [ahead, behind],
} as const;

describe.each(Object.entries(pairs))("a clock since boot that is %s", (_, [holds, asks]) => {
  requiresPrograms(
    "unshare --time",
    "unshare --mount",
    "perl",
  )("makes no other process of the holder: held while it lives, free when it is gone", async () => {
    const root = await temporaryRoot();
    const of = configuration(root);
    const { toldAndTrue } = lustreWithoutLocks(root);
    const script = `echo "HELD $$ $PPID"; exec env -i tail -f --pid=${process.pid} /dev/null`;
    const call = [...holds, ...toldAndTrue, executable, "run", ...of.args, "--", "sh", "-c", script];
    const holder = startProcess(call[0] ?? "", call.slice(1), { env: environment() });
    await holder.waitFor("HELD");
    const [, command = "", wrapper = ""] = /HELD (\d+) (\d+)/.exec(holder.stdout()) ?? [];
    const ask = () => run([...asks, ...toldAndTrue, executable, "run", ...of.args, "--", "true"]);
    expect(await ask()).toMatchObject({ exitCode: 75 });
    process.kill(Number(wrapper), "SIGKILL");
    expect(await ask()).toMatchObject({ exitCode: 75 });
    expect((await listed(root)).map(({ status }) => status)).not.toContain("stale");
    process.kill(Number(command), "SIGKILL");
    await holder.finished;
    expect(await ask()).toMatchObject({ exitCode: 0 });
  });
});
