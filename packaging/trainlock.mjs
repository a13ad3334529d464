#!/usr/bin/env node
// Starts the executable of this processor, which is a package of its own. Where Node can (22.15 and later) the executable takes
// this process's place, so that signals, the terminal and the process tree are as without Node.
import { spawn } from "node:child_process";
import { createRequire } from "node:module";
import { constants } from "node:os";

const name = `@trainlock/linux-${process.arch}`;
let executable;
try {
  executable = createRequire(import.meta.url).resolve(`${name}/trainlock`);
} catch {
  console.error(`trainlock: the package ${name} is not installed`);
  console.error("  install trainlock without --no-optional, on Linux with an x64 or arm64 processor");
  process.exit(3);
}
const args = process.argv.slice(2);
if (typeof process.execve === "function") process.execve(executable, [executable, ...args], process.env);

const child = spawn(executable, args, { stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR2", "SIGXCPU", "SIGCONT"])
  process.on(signal, () => child.kill(signal));
child.on("error", (error) => {
  console.error(`trainlock: ${executable} cannot be started: ${error.message}`);
  process.exit(3);
});
child.on("exit", (code, signal) => process.exit(code ?? 128 + constants.signals[signal]));
