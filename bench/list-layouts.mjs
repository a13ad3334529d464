// `node bench/list-layouts.mjs`, part of `npm run bench`: 100,000 weights folders in three layouts with 1,000 markers, listed by
// trainlock and by Python's glob in turns.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { interleaved } from "./measure.mjs";
import { printTable } from "./table.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const folders = 100_000;
const markers = 1000;

const layouts = [
  { template: "WEIGHTS/{strategy}/{dataset|lower}_cd/{model}{ratio}{aux_loss}", pattern: "WEIGHTS/*/*_cd/*" },
  {
    template: "WEIGHTS_STAGE_2/{strategy}/{dataset|lower|no_hyphens}/{model}{ratio}{aux_loss}",
    when: "{ stage: 2 }",
    pattern: "WEIGHTS_STAGE_2/*/*/*",
  },
  {
    template: "RUNS/{dataset|lower}/{strategy}/{model}{ratio}{aux_loss}/weights",
    when: "{ stage: 3 }",
    pattern: "RUNS/*/*/*/weights",
  },
];

/** `top`: where the folders lie; a file system of the caller's choice. */
export function makeSite(top, wanted = folders, locked = markers) {
  const rules = layouts.map(
    ({ template, when }) => `  - path: "${template}"${when === undefined ? "" : `\n    when: ${when}`}`,
  );
  writeFileSync(join(top, "trainlock.yaml"), `weights:\n${[...rules.slice(1), rules[0]].join("\n")}\n`);
  for (let n = 0; n < wanted; n++) {
    const [strategy, dataset, model] = [`strategy${n % 20}`, `data${Math.floor(n / 60) % 10}`, `model${n}`];
    const folder = [
      `WEIGHTS/${strategy}/${dataset}_cd/${model}`,
      `WEIGHTS_STAGE_2/${strategy}/${dataset}/${model}`,
      `RUNS/${dataset}/${strategy}/${model}/weights`,
    ][n % 3];
    mkdirSync(join(top, folder), { recursive: true });
    if (n % (wanted / locked) === 0) writeFileSync(join(top, folder, ".training_lock"), `${process.pid}\n`);
  }
}

export function listCommands(top) {
  const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
  const patterns = layouts.map(({ pattern }) => pattern);
  return [
    { what: "trainlock list", argv: [join(here, "../dist/trainlock"), "list", "--root", top] },
    { what: "python3 glob_list.py", argv: [python, join(here, "peers/glob_list.py"), top, ...patterns] },
    {
      what: "find -name .training_lock",
      argv: [
        "find",
        ...layouts.map(({ pattern }) => join(top, pattern.split("/")[0])),
        "-mindepth",
        "4",
        "-maxdepth",
        "5",
        "-name",
        ".training_lock",
      ],
    },
  ];
}

/** Mebibytes at the peak, as the kernel counts them, getrusage(2). */
function peakMemory([file, ...args]) {
  const script =
    "import resource,subprocess,sys; subprocess.run(sys.argv[1:],stdout=subprocess.DEVNULL,check=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)";
  const python = existsSync("/usr/bin/python3") ? "/usr/bin/python3" : "python3";
  return Math.round(Number(execFileSync(python, ["-c", script, file, ...args], { encoding: "utf8" })) / 1024);
}

export function printListing(top, where, rounds = 15) {
  const commands = listCommands(top);
  const counts = commands.map(({ what, argv: [file, ...args] }) => {
    const { stdout } = spawnSync(file, args, { encoding: "utf8", maxBuffer: 2 ** 28 });
    return `${what} ${stdout.match(/\.training_lock/g)?.length ?? 0}`;
  });
  console.log(
    `\nfound: ${counts.join(", ")}; peak memory: ${commands.map(({ what, argv }) => `${what} ${peakMemory(argv)} MiB`).join(", ")}`,
  );
  printTable(
    `List ${markers} locks in ${folders} weights folders in three layouts (${where})`,
    "ms",
    interleaved(commands, { warmUps: 2, rounds }),
    "find -name .training_lock",
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const given = process.argv[2];
  const top = given ?? mkdtempSync(join(tmpdir(), "trainlock-bench-list-"));
  if (given === undefined) process.on("exit", () => rmSync(top, { recursive: true, force: true }));
  if (!existsSync(join(top, "trainlock.yaml"))) makeSite(top);
  printListing(top, "a process from start to end, warm cache");
}
