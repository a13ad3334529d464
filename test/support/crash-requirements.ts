import { spawnSync } from "node:child_process";
import { test } from "vitest";

type DefineTest = (name: string, body: () => void | Promise<void>, timeoutMs?: number) => void;

/** What a program must be able to do here, not only be there: containers and CI machines forbid some of it. */
const trials: Readonly<Record<string, readonly string[]>> = {
  mknod: ["sh", "-c", "d=$(mktemp -d) && mknod $d/x c 1 3; rc=$?; rm -r $d; exit $rc"],
  strace: ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=flock:error=ENOLCK:when=9", "true"],
  "unshare --pid": ["unshare", "--pid", "--fork", "--mount-proc", "true"],
  "unshare --mount": ["unshare", "--mount", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"],
  "setpriv as root": ["setpriv", "--reuid=65530", "--regid=65530", "--clear-groups", "true"],
  prlimit: ["prlimit", "--fsize=4096", "true"],
  python3: ["python3", "-c", "import fcntl"],
  perl: ["perl", "-MTime::HiRes=clock_gettime,CLOCK_MONOTONIC", "-e", "clock_gettime(CLOCK_MONOTONIC)"],
  flock: ["flock", "--version"],
};

const tried = new Map<string, boolean>();

function works(name: string): boolean {
  const known = tried.get(name);
  if (known !== undefined) return known;
  const [file = "", ...args] = trials[name] ?? [name, "--version"];
  const result = spawnSync(file, args, { stdio: "ignore" }).status === 0;
  tried.set(name, result);
  return result;
}

/** `test` for what needs more than Node: skipped aloud where it does not work, and failed where `CI=true`. */
export function requiresPrograms(...names: readonly (keyof typeof trials)[]): DefineTest {
  const missing = names.filter((name) => !works(String(name)));
  if (missing.length === 0) return test;
  const complaint = `needs ${missing.join(", ")}`;
  if (process.env.CI === "true") {
    return (title) =>
      test(title, () => {
        throw new Error(complaint);
      });
  }
  return (title) => {
    console.warn(`skipped, ${complaint}: ${title}`);
    test.skip(title);
  };
}
