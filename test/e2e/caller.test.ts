import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";

const test = requiresPrograms("python3", "bash");

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

/** What a caller may have changed; each runs before the command, with trainlock and without. */
const callers = {
  "as they are": "",
  "a lower soft limit of open files, another umask, a nice value":
    "ulimit -Sn 300; umask 027; renice -n 5 $$ >/dev/null",
  "limits of core, file size, stack and processes": "ulimit -Sc 0; ulimit -Sf 100000; ulimit -Ss 4096; ulimit -Su 5000",
  "signals that a shell ignores": "trap '' PIPE HUP USR1 XFSZ",
  "bytes that are no UTF-8 in a variable, a name and an argument":
    "export A=$'\\xff\\xfe' B='ü €' C=$'a\\nb'; set -- $'\\xe9' ü ''",
  "one processor": "taskset -cp 0 $$ >/dev/null",
};

for (const [name, before] of Object.entries(callers)) {
  test(`the command gets what its caller has: ${name}`, async () => {
    const of = configuration(await temporaryRoot());
    // The same wrapper of a shell both times, which is the caller.
    const script = `${before}\n"\${RUN[@]}" python3 -c "$SHOW" words "$@"; exit`;
    const look = async (run: string) => {
      const env = environment({ SHOW: show });
      const { stdout, stderr } = await finish("bash", ["-c", `RUN=(${run}); ${script}`], { env });
      expect(stderr).toBe("");
      return stdout;
    };
    const without = await look("env");
    expect(await look(`${executable} run ${of.args.join(" ")} --`)).toBe(without);
    expect(without).toContain("Max open files");
  });
}
