// node bench/slurm-array.mjs [ROWS] [AT ONCE] [ROUNDS]: rows of 10 ms as elements of a Slurm array, in turns: an array that
// indexes, as users write it today, and `trainlock submit`, whose elements claim. On the three hosts that the tests start (root,
// slurm-wlm and so on: test/cluster/cluster.sh). From the submit to the end of the last element, the time that Slurm takes to
// start them included.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, realpathSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "./measure.mjs";

const [rows, atOnce, rounds] = [
  Number(process.argv[2] ?? 60),
  Number(process.argv[3] ?? 4),
  Number(process.argv[4] ?? 3),
];
const executable = fileURLToPath(new URL("../dist/trainlock", import.meta.url));
const names = Array.from({ length: rows }, (_, index) => `s${index + 1}`);
const folder = mkdtempSync(join(realpathSync(tmpdir()), "tl-"));
const cluster = await startCluster();

const onLogin = (...argv) => {
  const place = [
    "-t",
    readFileSync(join(folder, "login.pid"), "utf8").trim(),
    "--net",
    "--uts",
    "--pid",
    "--mount",
    "--wd=/",
  ];
  const env = [
    `SLURM_CONF=${join(folder, "slurm.conf")}`,
    `HOME=${join(folder, "home")}`,
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
  ];
  const { status, stdout, stderr } = spawnSync("nsenter", [...place, "env", "-i", ...env, ...argv], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${argv.join(" ")}: exit ${status}\n${stdout}${stderr}`);
  return stdout;
};

const ways = {
  "an array that indexes": (root) => {
    const script = `#!/bin/bash\nrow=$(sed -n "$SLURM_ARRAY_TASK_ID p" ${root}/rows); sleep 0.01
mkdir -p ${root}/$row && head -c 2048 /dev/zero >${root}/$row/final.pth\n`;
    write(`${root}/rows`, names.join("\n"));
    write(`${root}/job.sh`, script);
    onLogin("sbatch", "--quiet", "--output=/dev/null", `--array=1-${rows}%${atOnce}`, `${root}/job.sh`);
    untilEmpty();
    return onLogin("sh", "-c", `ls -d ${root}/*/final.pth | wc -l`);
  },
  "trainlock submit": (root) => {
    write(`${root}/grid.csv`, `strategy,dataset,model\n${names.map((name) => `${name},D,m\n`).join("")}`);
    const script = 'sleep 0.01; head -c 2048 /dev/zero >"$TRAINLOCK_WEIGHTS_DIR/final.pth"';
    const options = ["--root", root, "--done-when", "final.pth", "--max-running", String(atOnce)];
    const site = options.slice(0, 4);
    onLogin(executable, "submit", `${root}/grid.csv`, ...options, "--", "sh", "-c", script);
    untilEmpty();
    const plan = JSON.parse(onLogin(executable, "plan", `${root}/grid.csv`, ...site, "--json"));
    return String(plan.counts.done);
  },
};

const seconds = new Map(Object.keys(ways).map((name) => [name, []]));
try {
  for (let round = 0; round < rounds; round++) {
    for (const [name, run] of Object.entries(ways)) {
      const root = join(folder, "shared", `${name.replaceAll(" ", "-")}-${round}`);
      onLogin("mkdir", root);
      const began = performance.now();
      const trained = Number(run(root));
      seconds.get(name).push((performance.now() - began) / 1000);
      if (trained !== rows) throw new Error(`${name}: ${trained} of ${rows} rows are trained`);
    }
  }
} finally {
  cluster.stdin.end();
  await new Promise((resolve) => cluster.once("close", resolve));
  rmSync(folder, { recursive: true, force: true });
}
for (const [name, times] of seconds) {
  const perRow = (time) => `${((time * 1000) / rows).toFixed(0)} ms`;
  console.log(
    `${name.padEnd(24)} ${rows} rows, ${atOnce} at once: median ${perRow(median(times))} a row, quickest ${perRow(Math.min(...times))} (${rounds} rounds)`,
  );
}

function untilEmpty() {
  onLogin("sh", "-c", 'while [ -n "$(squeue -h)" ]; do sleep 0.2; done');
}

function write(path, text) {
  onLogin("sh", "-c", 'printf "%s" "$2" >"$1"', "sh", path, text);
}

function startCluster() {
  const script = fileURLToPath(new URL("../test/cluster/cluster.sh", import.meta.url));
  const child = spawn("bash", [script, folder], { stdio: ["pipe", "pipe", "pipe"] });
  return new Promise((resolve, reject) => {
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text) => {
        said += text;
        if (said.includes("READY\n")) resolve(child);
      });
    }
    child.once("close", () => reject(new Error(`no cluster: ${said}`)));
  });
}
