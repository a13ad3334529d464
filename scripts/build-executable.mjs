// Compiles src/cli/main.ts into dist/trainlock, one file that needs neither Node nor Bun nor a package folder.
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const project = dirname(dirname(fileURLToPath(import.meta.url)));
const bun = join(dirname(createRequire(import.meta.url).resolve("bun/package.json")), "bin", "bun.exe");
const { version } = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
const target = join(project, "dist", "trainlock");
// Renamed into place: a running job may be executing the old file.
const unfinished = `${target}.${process.pid}.new`;

mkdirSync(dirname(target), { recursive: true });
execFileSync(
  bun,
  [
    "build",
    "--compile",
    "--minify",
    "--bytecode",
    // A call reads the code of its own command alone: what the others need costs it nothing.
    "--splitting",
    "--format=esm",
    // Most calls end before compiled code would pay: the compiler begins ten times later.
    "--compile-jit-policy=10",
    // The executable starts in users' folders: their .env and bunfig.toml are not ours to read.
    "--no-compile-autoload-dotenv",
    "--no-compile-autoload-bunfig",
    `--define=TRAINLOCK_VERSION=${JSON.stringify(version)}`,
    "--outfile",
    unfinished,
    join(project, "src", "cli", "main.ts"),
  ],
  { cwd: project, stdio: ["ignore", "ignore", "inherit"] },
);
renameSync(unfinished, target);
