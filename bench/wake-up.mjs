// How long after a release does a waiter's command run? `trainlock run --wait` beside `flock FILE`, and what the wrapper
// keeps in memory. Run by bench/run.mjs; alone: node bench/wake-up.mjs
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { quantile } from "./measure.mjs";
import { trainlock } from "./programs.mjs";

/** A process whose standard output is waited for: `line` resolves with what a pattern finds there, or rejects at its end. */
export const start = (argv, env = process.env) => {
  const child = spawn(argv[0], argv.slice(1), { env, stdio: ["pipe", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  let over = false;
  const wake = [];
  const heard = () => {
    for (const waiting of wake.splice(0)) waiting();
  };
  for (const stream of ["stdout", "stderr"]) {
    child[stream].setEncoding("utf8").on("data", (part) => {
      said[stream] += part;
      heard();
    });
  }
  child.stdin.on("error", () => undefined);
  const ended = new Promise((resolve) => {
    child.on("close", () => {
      over = true;
      heard();
      resolve();
    });
  });
  const line = async (pattern) => {
    for (;;) {
      const found = pattern.exec(said.stdout);
      if (found !== null) return found;
      if (over) throw new Error(`${argv.join(" ")} ended without ${pattern}: ${said.stderr}`);
      await new Promise((resolve) => wake.push(resolve));
    }
  };
  return { child, line, ended };
};

/** Milliseconds from a holder's release to the start of the waiter's command. */
async function once(lock, wait) {
  // bash's own clock: starting date(1) would take as long as what is measured.
  const holder = start([...lock, "bash", "-c", "echo held; read line; echo ends $EPOCHREALTIME"]);
  await holder.line(/held/);
  const waiter = start([...wait, "bash", "-c", "echo starts $EPOCHREALTIME"]);
  await sleep(150);
  holder.child.stdin.end();
  const [, ends] = await holder.line(/ends (\S+)/);
  const [, starts] = await waiter.line(/starts (\S+)/);
  await Promise.all([holder.ended, waiter.ended]);
  return (Number(starts) - Number(ends)) * 1000;
}

export async function wakeUps(rounds = 60) {
  const root = mkdtempSync(join(tmpdir(), "trainlock-bench-"));
  try {
    const run = [trainlock, "run", "--root", root, "--strategy", "b", "--dataset", "d", "--model", "m"];
    const flock = ["flock", join(root, "file")];
    const times = { "trainlock run --wait": [], "flock FILE": [] };
    for (let round = -3; round < rounds; round += 1) {
      const [ours, theirs] = [await once([...run, "--"], [...run, "--wait", "--"]), await once(flock, flock)];
      if (round < 0) continue;
      times["trainlock run --wait"].push(ours);
      times["flock FILE"].push(theirs);
    }
    return times;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Resident memory of a wrapper whose command has run for a while, MB. */
export async function wrapperMemory() {
  const root = mkdtempSync(join(tmpdir(), "trainlock-bench-"));
  try {
    const run = [trainlock, "run", "--root", root, "--strategy", "b", "--dataset", "d", "--model", "m", "--"];
    const holder = start([...run, "sh", "-c", "echo held; exec cat"]);
    await holder.line(/held/);
    await sleep(7000);
    const kb = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${holder.child.pid}/status`, "utf8"))?.[1];
    holder.child.stdin.end();
    await holder.ended;
    return Number(kb) / 1024;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

export async function printWakeUps() {
  console.log("\nFrom a holder's last act to the first of the waiter's command (its own end and start included)");
  for (const [what, times] of Object.entries(await wakeUps())) {
    const figures = [0.5, 0.99].map((share) => quantile(times, share).toFixed(1).padStart(8));
    console.log(`  ${what.padEnd(36)} median ${figures[0]} ms   p99 ${figures[1]} ms`);
  }
  console.log(`  wrapper, resident after 7 s: ${(await wrapperMemory()).toFixed(0)} MB`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await printWakeUps();
