import { spawnSync } from "node:child_process";
import { readlinkSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { test } from "vitest";

const localFileSystems = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x2fc12fc1]);

/** Properties of where the tests run. */
const properties = {
  root: () => process.getuid?.() === 0,
  /** Where a PID that is not there is proof that its process is not: all processes in sight, no other host. */
  "a local file system and the initial PID namespace": () =>
    readlinkSync("/proc/self/ns/pid") === "pid:[4026531836]" && localFileSystems.has(statfsSync(tmpdir()).type),
};

/** What a program must be able to do here, not only be there: containers and CI machines forbid some of it. */
const trials = {
  mknod: ["sh", "-c", "d=$(mktemp -d) && mknod $d/x c 1 3; rc=$?; rm -r $d; exit $rc"],
  strace: ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK:when=9", "true"],
  "unshare --pid": ["unshare", "--pid", "--fork", "--mount-proc", "true"],
  "unshare --time": ["unshare", "--time", "--boottime", "1000", "--fork", "true"],
  "unshare --mount": ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"],
  "idmapped mounts": [
    ...["sh", "-c", 'd=$(mktemp -d) && unshare --mount python3 "$1" $d true; rc=$?; rm -r $d; exit $rc', "sh"],
    fileURLToPath(new URL("idmapped.py", import.meta.url)),
  ],
  "setpriv as root": ["setpriv", "--reuid=65530", "--regid=65530", "--clear-groups", "true"],
  "memory cgroup": ["sh", "-c", "d=/sys/fs/cgroup/memory/trainlock-$$ && mkdir $d && rmdir $d"],
  prlimit: ["prlimit", "--fsize=4096", "true"],
  python3: ["python3", "-c", "import fcntl"],
  // Of Debian's Python, whatever other is in the way.
  ipykernel: ["/usr/bin/python3", "-c", "import ipykernel, jupyter_client"],
  fusepy: ["/usr/bin/python3", "-c", "import fusepy"],
  perl: ["perl", "-MTime::HiRes=clock_gettime,CLOCK_MONOTONIC", "-e", "clock_gettime(CLOCK_MONOTONIC)"],
  flock: ["flock", "--version"],
  sshd: ["test", "-x", "/usr/sbin/sshd"],
} satisfies Record<string, readonly string[]>;

/** Programs that only have to be there. */
type Program =
  | "bash"
  | "bindfs"
  | "cc"
  | "chromium"
  | "etcd"
  | "etcdctl"
  | "fish"
  | "ip"
  | "less"
  | "make"
  | "mkfifo"
  | "mpirun"
  | "nsenter"
  | "openssl"
  | "parallel"
  | "script"
  | "setpriv"
  | "setsid"
  | "shellcheck"
  | "snakemake"
  | "ssh"
  | "tmux"
  | "tsp"
  | "unshare"
  | "xargs"
  | "zsh";

export type Requirement = keyof typeof properties | keyof typeof trials | Program;

const found = new Map<Requirement, boolean>();

function has(requirement: Requirement): boolean {
  const known = found.get(requirement);
  if (known !== undefined) return known;
  const there = look(requirement);
  found.set(requirement, there);
  return there;
}

function look(requirement: Requirement): boolean {
  if (requirement in properties) return properties[requirement as keyof typeof properties]();
  const presence = ["sh", "-c", 'command -v "$1"', "sh", requirement];
  const [file = "", ...args] = requirement in trials ? trials[requirement as keyof typeof trials] : presence;
  return spawnSync(file, args, { stdio: "ignore" }).status === 0;
}

type DefineTest = (name: string, body: () => void | Promise<void>, timeoutMs?: number) => void;

/**
 * `test` for what needs more than Node. Without it the test is skipped with a line that says so, and fails where
 * `CI=true`: there, a test that does not run is a fault.
 */
export function requiresPrograms(...requirements: readonly Requirement[]): DefineTest {
  const missing = requirements.filter((requirement) => !has(requirement));
  return missing.length === 0 ? test : withoutWhatItNeeds(missing.join(", "));
}

/** In place of `test`, where it is known by other means what is missing. */
export function withoutWhatItNeeds(missing: string): DefineTest {
  const complaint = `needs ${missing}`;
  if (process.env.CI === "true") {
    return (name) =>
      test(name, () => {
        throw new Error(complaint);
      });
  }
  return (name) => {
    console.warn(`skipped, ${complaint}: ${name}`);
    test.skip(name);
  };
}
