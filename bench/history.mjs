// How long `trainlock history --since 7d` takes over 100,000 runs: all of them within the week, and spread over a year.
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const executable = fileURLToPath(new URL("../dist/trainlock", import.meta.url));
const [runs, hosts, dayMs] = [100_000, 20, 86_400_000];

function writeHistory(root, days) {
  const now = Date.now();
  const files = new Map();
  const command = ["python", "train.py", "--config", "configs/segformer_mit-b3.py", "--work-dir", "WEIGHTS/baseline"];
  for (let nth = 0; nth < runs; nth += 1) {
    const host = `node${nth % hosts}`;
    const startMs = now - days * dayMs * (1 - nth / runs);
    const token = nth.toString(16).padStart(32, "0");
    const of = { token, generation: 1 + Math.floor(nth / 500), name: `gen_${nth % 500}/bdd10k/segformer_mit-b3` };
    const at = (ms) => new Date(ms).toISOString();
    const place = { host, pid: 4711, job: String(nth), gpus: 1 };
    const ended = { end: "done", exit: 0, seconds: 600, checkpoint: "iter_80000.pth", attempts: 0, interruptions: 0 };
    const path = join(root, "training_locks/history", `${host}-0`, `${at(startMs).slice(0, 7)}-0123abcd.jsonl`);
    const lines = files.get(path) ?? [];
    lines.push(JSON.stringify({ at: at(startMs), event: "claimed", ...of, ...place, attempt: 1, command }));
    lines.push(
      JSON.stringify({ at: at(startMs + 600_000), event: "ended", ...of, ...place, attempt: 1, ...ended, command }),
    );
    files.set(path, lines);
  }
  for (const [path, lines] of files) {
    mkdirSync(join(path, ".."), { recursive: true });
    writeFileSync(path, `${lines.join("\n")}\n`);
  }
}

for (const days of [7, 365]) {
  const root = mkdtempSync(join(tmpdir(), "trainlock-history-"));
  writeHistory(root, days);
  const times = Array.from({ length: 5 }, () => {
    const beganAt = performance.now();
    const { stdout } = spawnSync(executable, ["history", "--root", root, "--since", "7d"], { maxBuffer: 2 ** 30 });
    return { ms: performance.now() - beganAt, last: String(stdout).trimEnd().split("\n").at(-1) };
  }).sort((a, b) => a.ms - b.ms);
  console.log(`${runs} runs in ${days} days: ${times[2].ms.toFixed(0)} ms (${times[2].last})`);
  rmSync(root, { recursive: true });
}
