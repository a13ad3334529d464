import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { python, trainlock } from "./programs.mjs";
import { printTable } from "./table.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const rounds = 100;

/** What a Python program pays to take, ask about and release a lock: training_lock.py, the older file, filelock. */
export function printPythonLocks(root) {
  const env = {
    PATH: process.env.PATH,
    TRAINLOCK_ROOT: root,
    AWARE_DATA_ROOT: root,
    TRAINLOCK_BIN: trainlock,
    PYTHONPATH: `${here}../python:${here}../test/support/peers`,
    PYTHONDONTWRITEBYTECODE: "1",
  };
  const said = execFileSync(python, [`${here}peers/python_locks.py`, root, String(rounds)], { env, encoding: "utf8" });
  for (const { title, limit, rows } of JSON.parse(said)) printTable(title, "ms", new Map(rows), limit);
}
