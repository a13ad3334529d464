// `node bench/start-up.mjs [ROUNDS]`: how long trainlock takes to start, beside a compiled program that prints one word.
// TRAINLOCK_OLD=FILE adds another executable of trainlock, for a comparison with an earlier build.
//
// One run of 60 rounds on two cores that others used as well, medians: the word 4.8 ms, list 10.9 ms (2.3 times), check 9.7 ms
// (2.1 times), run -- true 18.1 ms (3.7 times). A copy of the same file is up to 1 ms faster or slower: the kernel maps it in other
// pieces. So a difference of less counts only between several copies of each.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { interleaved } from "./measure.mjs";
import { bun, trainlock } from "./programs.mjs";
import { printTable } from "./table.mjs";

const rounds = Number(process.argv[2] ?? 40);
const folder = mkdtempSync(join(tmpdir(), "trainlock-start-up-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(1));

const source = join(folder, "word.ts");
const oneWord = join(folder, "word");
writeFileSync(source, 'console.log("word");\n');
// Built as scripts/build-executable.mjs builds trainlock.
const flags = "--compile --minify --bytecode --splitting --format=esm --compile-jit-policy=10".split(" ");
flags.push("--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig", "--compile-exec-argv=--no-install");
execFileSync(bun, ["build", ...flags, "--outfile", oneWord, source], {
  cwd: folder,
  stdio: ["ignore", "ignore", "inherit"],
});

const root = join(folder, "root");
mkdirSync(root);
const configuration = ["--root", root, "--strategy", "baseline", "--dataset", "IDD-AW", "--model", "deeplabv3plus_r50"];
const env = { ...process.env };
// A generation of the job that runs this measurement would change what `held` compares.
delete env.TRAINLOCK_GENERATION;
const calls = [
  { name: "list, empty root", args: ["list", "--root", root] },
  { name: "check", args: ["check", ...configuration] },
  { name: "held, not held", args: ["held", ...configuration, "--generation", "1"], exitCode: 1 },
  { name: "run -- true", args: ["run", ...configuration, "--", "true"] },
];
const executables = { new: trainlock, ...(process.env.TRAINLOCK_OLD ? { old: process.env.TRAINLOCK_OLD } : {}) };
const baseline = "a compiled program that prints one word";
for (const { name, args, exitCode } of calls) {
  const rows = Object.entries(executables).map(([age, file]) => ({
    what: `trainlock ${name} (${age})`,
    argv: [file, ...args],
    env,
    ...(exitCode === undefined ? {} : { exitCode }),
  }));
  const word = { what: baseline, argv: [oneWord], env };
  printTable(`Start-up: ${name}`, "ms", interleaved([...rows, word], { rounds }), baseline);
}
