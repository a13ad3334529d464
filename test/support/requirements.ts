import { spawnSync } from "node:child_process";
import { readlinkSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { test } from "vitest";

const localFileSystems = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x2fc12fc1]);

/** What is no command, but a property of where the tests run. */
const properties = {
  root: () => process.getuid?.() === 0,
  /** Where a PID that is not there is proof that its process is not: all processes in sight, no other host. */
  "a local file system and the initial PID namespace": () =>
    readlinkSync("/proc/self/ns/pid") === "pid:[4026531836]" && localFileSystems.has(statfsSync(tmpdir()).type),
};

type Requirement =
  | keyof typeof properties
  | "bash"
  | "zsh"
  | "fish"
  | "python3"
  | "flock"
  | "perl"
  | "setpriv"
  | "mkfifo"
  | "tmux"
  | "strace"
  | "setsid"
  | "less"
  | "script"
  | "etcd"
  | "etcdctl"
  | "openssl"
  | "perl"
  | "ip"
  | "nsenter"
  | "unshare"
  | "cc";

const found = new Map<Requirement, boolean>();

function has(requirement: Requirement): boolean {
  const known = found.get(requirement);
  if (known !== undefined) return known;
  const there =
    requirement in properties
      ? properties[requirement as keyof typeof properties]()
      : spawnSync("sh", ["-c", 'command -v "$1"', "sh", requirement]).status === 0;
  found.set(requirement, there);
  return there;
}

type DefineTest = (name: string, body: () => void | Promise<void>, timeoutMs?: number) => void;

/**
 * `test` for what needs more than Node. Without it the test is skipped with a line that says so, and fails where
 * `CI=true`: there, a test that does not run is a fault.
 */
export function requires(...requirements: readonly Requirement[]): DefineTest {
  const missing = requirements.filter((requirement) => !has(requirement));
  if (missing.length === 0) return test;
  const complaint = `needs ${missing.join(", ")}`;
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
