// node bench/workers.mjs [ROWS] [WORKERS]: a grid of short rows by workers, beside xargs and GNU parallel, which know of one
// machine only. The last two columns show whether a row costs more the more rows are done.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const [rows, workers] = [Number(process.argv[2] ?? 200), Number(process.argv[3] ?? 4)];
const executable = fileURLToPath(new URL("../dist/trainlock", import.meta.url));
const names = Array.from({ length: rows }, (_, index) => `s${index + 1}`);

const ways = {
  [`trainlock work, ${workers} workers`]: (root) => {
    writeFileSync(join(root, "grid.csv"), `strategy,dataset,model\n${names.map((name) => `${name},D,m\n`).join("")}`);
    const script = `sleep 0.01; date +%s%N >>${root}/ended; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"`;
    const call = ["work", join(root, "grid.csv"), "--root", root, "--done-when", "final.pth", "--quiet", "--wait"];
    return Promise.all(Array.from({ length: workers }, () => ended(executable, [...call, "--", "sh", "-c", script])));
  },
  [`xargs -P${workers}`]: (root) => {
    const script = `sleep 0.01; date +%s%N >>${root}/ended; mkdir -p ${root}/$1; head -c 2048 /dev/zero >${root}/$1/final.pth`;
    spawnSync("xargs", [`-P${workers}`, "-n1", "sh", "-c", script, "sh"], { input: names.join("\n") });
  },
  [`parallel --resume -j${workers}`]: (root) => {
    const script = `sleep 0.01; date +%s%N >>${root}/ended; mkdir -p ${root}/{}; head -c 2048 /dev/zero >${root}/{}/final.pth`;
    const options = ["--will-cite", "--resume", "--joblog", join(root, "log"), `-j${workers}`];
    spawnSync("parallel", [...options, script], { input: names.join("\n") });
  },
};

function ended(file, args) {
  return new Promise((resolve) => spawn(file, args, { stdio: "ignore" }).on("exit", resolve));
}

for (const [name, run] of Object.entries(ways)) {
  const program = name.split(" ")[0];
  if (program !== "trainlock" && spawnSync("sh", ["-c", `command -v ${program}`]).status !== 0) continue;
  const root = mkdtempSync(join(tmpdir(), "trainlock-bench-"));
  const began = performance.now();
  await run(root);
  const seconds = (performance.now() - began) / 1000;
  const times = readFileSync(join(root, "ended"), "utf8")
    .trimEnd()
    .split("\n")
    .map(Number)
    .sort((a, b) => a - b);
  const quarter = Math.floor(times.length / 4);
  const perRow = (from, to) => ((times[to] - times[from]) / 1e6 / (to - from)).toFixed(1);
  console.log(
    `${name.padEnd(28)} ${times.length} rows, ${seconds.toFixed(1)} s, ${((seconds * 1000) / rows).toFixed(1)} ms a row; ` +
      `first quarter ${perRow(0, quarter)} ms, last ${perRow(times.length - 1 - quarter, times.length - 1)} ms`,
  );
  rmSync(root, { recursive: true, force: true });
}
