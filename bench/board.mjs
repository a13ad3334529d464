// A board with five viewers over 10,000 weights folders: its share of a core, its memory, and the size of its page.
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const trainlock = fileURLToPath(new URL("../dist/trainlock", import.meta.url));
const seconds = Number(process.argv[2] ?? 120);
const viewers = 5;
const root = mkdtempSync(join(tmpdir(), "trainlock-board-"));
const lines = ["strategy,dataset,model"];
for (let strategy = 0; strategy < 100; strategy += 1) {
  for (let dataset = 0; dataset < 10; dataset += 1) {
    for (let model = 0; model < 10; model += 1) {
      const folder = join(root, "WEIGHTS", `strategy_${strategy}`, `dataset${dataset}_cd`, `segformer_mit-b${model}`);
      mkdirSync(folder, { recursive: true });
      if (model < 6) writeFileSync(join(folder, "iter_80000.pth"), Buffer.alloc(2048));
      if (model === 9) writeFileSync(join(folder, ".training_lock"), "99999999\n");
      lines.push(`strategy_${strategy},dataset${dataset},segformer_mit-b${model}`);
    }
  }
}
const grid = join(root, "grid.csv");
writeFileSync(grid, `${lines.join("\n")}\n`);
const args = ["board", grid, "--root", root, "--done-when", "iter_80000.pth", "--scheduler", "none", "--port"];
const board = spawn(trainlock, args, { stdio: ["ignore", "pipe", "inherit"] });
const url = await new Promise((resolve) => {
  let said = "";
  board.stdout.on("data", (text) => {
    said += text;
    const [, address] = /On this host: +(http:\S+)/.exec(said) ?? [];
    if (address !== undefined && said.includes("Ctrl-C")) resolve(address);
  });
});
const ticks = () => {
  const fields = readFileSync(`/proc/${board.pid}/stat`, "utf8")
    .replace(/^.*\) /s, "")
    .split(" ");
  return Number(fields[11]) + Number(fields[12]);
};
const megabytes = (key) =>
  Number(new RegExp(`^${key}:\\s+(\\d+)`, "m").exec(readFileSync(`/proc/${board.pid}/status`, "utf8"))[1]) / 1024;

/** As the page's script: told of each scan, it asks for the page where something is new. */
async function look() {
  let version = "";
  const refresh = async () => {
    const bytes = Buffer.from(await (await fetch(url, { headers: { "accept-encoding": "gzip" } })).arrayBuffer());
    return bytes.length;
  };
  const size = await refresh();
  const events = await fetch(`${url}events`);
  (async () => {
    for await (const chunk of events.body) {
      const [, told] = /"version":"(\w+)"/.exec(Buffer.from(chunk).toString()) ?? [];
      if (told !== undefined && told !== version) {
        version = told;
        await refresh();
      }
    }
  })().catch(() => undefined);
  return size;
}

const idle = ticks();
await new Promise((resolve) => setTimeout(resolve, 5000));
console.log(`nobody looks, 5 s: ${(ticks() - idle) * 10} ms of a core, ${megabytes("VmRSS").toFixed(0)} MB`);
const sizes = await Promise.all(Array.from({ length: viewers }, look));
const begun = ticks();
const startedMs = performance.now();
let scans = 0;
let most = 0;
// One row changes every 20 s: each viewer gets the page again.
for (let round = 0; (performance.now() - startedMs) / 1000 < seconds; round += 1) {
  await new Promise((resolve) => setTimeout(resolve, 2000));
  most = Math.max(most, megabytes("VmRSS"));
  if (round % 10 !== 0) continue;
  const folder = join(root, "WEIGHTS", `strategy_${round % 100}`, "dataset0_cd", "segformer_mit-b7");
  writeFileSync(join(folder, "iter_80000.pth"), Buffer.alloc(2048));
  scans += 1;
}
const passedMs = performance.now() - startedMs;
const share = ((ticks() - begun) * 10 * 100) / passedMs;
console.log(
  `${viewers} viewers, ${(passedMs / 1000).toFixed(0)} s, ${scans} changes: ${share.toFixed(2)} % of a core, ` +
    `at most ${most.toFixed(0)} MB (peak ${megabytes("VmHWM").toFixed(0)} MB), page ${(sizes[0] / 1000).toFixed(0)} kB`,
);
board.kill("SIGTERM");
await new Promise((resolve) => board.once("exit", resolve));
rmSync(root, { recursive: true, force: true });
process.exit(0);
