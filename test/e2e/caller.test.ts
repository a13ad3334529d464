import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { type Requirement, requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";

/** What a process has of its caller, on a line each; without what no two processes share, and what the lock adds. */
const show = `
import os, re
status = open("/proc/self/status").read()
kept = "Umask Uid Gid Groups SigBlk SigIgn SigCgt CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Cpus_allowed Mems_allowed".split()
for name in kept: print(name, re.findall(r"^%s:\\t(.*)$" % name, status, re.M))
print(open("/proc/self/limits").read())
names = [n for n in open("/proc/self/environ", "rb").read().split(b"\\0")]
print([n for n in names if not n.startswith((b"TRAINLOCK_", b"_="))])
print(open("/proc/self/cmdline", "rb").read().split(b"\\0")[4:])
print(os.nice(0), os.getcwd(), sorted(os.sched_getaffinity(0)), open("/proc/self/oom_score_adj").read())
`;

const lowerLimit = "ulimit -Sn 300; umask 027; renice -n 5 $$ >/dev/null";
const ignoredSignals = "trap '' PIPE HUP USR1 XFSZ";
const oddBytes = "export A=$'\\xff\\xfe' B='ü €' C=$'a\\nb'; set -- $'\\xe9' ü ''";

/** What a caller may have changed; each runs before the command, with trainlock and without. */
const callers = {
  "as they are": "",
  "a lower soft limit of open files, another umask, a nice value": lowerLimit,
  "limits of core, file size, stack and processes": "ulimit -Sc 0; ulimit -Sf 100000; ulimit -Ss 4096; ulimit -Su 5000",
  "signals that a shell ignores": ignoredSignals,
  "bytes that are no UTF-8 in a variable, a name and an argument": oddBytes,
  "one processor": "taskset -cp 0 $$ >/dev/null",
};

interface Way {
  readonly needs?: readonly Requirement[];
  /** What stands before the command, where `$RUN` is the call of `run`, or nothing of trainlock. */
  readonly call: string;
  readonly options?: string;
  /** What the shell does before it, without trainlock, too. */
  readonly before?: string;
}

/** Other ways to the command than by one `run`. */
const ways: Readonly<Record<string, Way>> = {
  "inside of another run": { call: "$RUN $RUN" },
  "as a rank of a launch": { call: "env RANK=0 WORLD_SIZE=1 $RUN env -u RANK -u WORLD_SIZE", options: "--ranks job" },
  "with a guard beside it": { call: "$RUN", options: "--die-with-wrapper" },
  "below timeout": { call: "timeout 20 $RUN" },
  "where the program starts itself again, for want of memory": { call: "$RUN", before: "ulimit -v 1048576" },
  "in a container, below its shell": {
    needs: ["unshare --pid"],
    call: "unshare --pid --fork --mount-proc bash -c '\"$@\"; exit $?' bash $RUN",
  },
};

/** What a command shows behind this way with trainlock in it, and without. */
async function looks({ call, options = "", before = ":" }: Way): Promise<{ with: string; without: string }> {
  const of = configuration(await temporaryRoot());
  const look = async (run: string) => {
    // The same wrapper of a shell both times, which is the caller.
    const script = `RUN="${run}"; ${before}\n${call} python3 -c "$SHOW" words "$@"; exit`;
    const { stdout, stderr } = await finish("bash", ["-c", script], { env: environment({ SHOW: show }) });
    expect(stderr.replace(/^trainlock: inside the run of .*\n/m, "")).toBe("");
    return stdout;
  };
  return { without: await look("env"), with: await look(`${executable} run ${of.args.join(" ")} ${options} --`) };
}

for (const [name, before] of Object.entries(callers)) {
  requiresPrograms("python3", "bash")(`the command gets what its caller has: ${name}`, async () => {
    const seen = await looks({ call: "$RUN", before: before || ":" });
    expect(seen.with).toBe(seen.without);
    expect(seen.without).toContain("Max open files");
  });
}

for (const [name, way] of Object.entries(ways)) {
  requiresPrograms(
    "python3",
    "bash",
    ...(way.needs ?? []),
  )(`the command gets what its caller has, ${name}`, async () => {
    const before = [way.before ?? ":", lowerLimit, ignoredSignals, oddBytes].join("; ");
    const seen = await looks({ ...way, before });
    expect(seen.with).toBe(seen.without);
    expect(seen.without).toMatch(/^Max open files +300 /m);
  });
}
