import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";
import { constants as os } from "node:os";
import { delimiter, join } from "node:path";
import { errnoName } from "../system/libc/errno.ts";

/** Why a command was not started. `missing`: there is no such command, exit code 127; else it cannot be executed, 126. */
export interface FailedStart {
  readonly missing: boolean;
  readonly why: string;
  readonly hint: string | null;
}

/** What a failed start was about: ENOENT is said of a script as well whose interpreter is not there (execve(2)). */
export function explainFailedStart(program: string, errno: number, path: string = process.env.PATH ?? ""): FailedStart {
  const script = errno === os.errno.ENOENT ? fileOf(program, path) : null;
  const interpreter = script === null ? null : interpreterOf(script);
  if (interpreter === null) {
    if (errno === os.errno.ENOENT) return { missing: true, why: "command not found", hint: null };
    return { missing: false, why: `cannot be executed: ${errnoName(errno)}`, hint: null };
  }
  if (interpreter.endsWith("\r")) {
    const hint = `its first line ends with a carriage return: sed -i 's/\\r$//' ${script}`;
    return { missing: false, why: "cannot be executed: the script has DOS line ends", hint };
  }
  const hint = "the first line of the script, after `#!`, names it";
  return { missing: false, why: `cannot be executed: its interpreter ${interpreter} is not there`, hint };
}

/** The file that execvp(3) would have found. */
function fileOf(program: string, path: string): string | null {
  const candidates = program.includes("/")
    ? [program]
    : path.split(delimiter).map((folder) => join(folder || ".", program));
  return candidates.find(isExecutableFile) ?? null;
}

function isExecutableFile(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The kernel reads no more of a first line: BINPRM_BUF_SIZE of linux/binfmts.h. */
const mostBytes = 256;

/** What `#!` names, with the carriage return that a DOS line leaves at its end; null: no script. */
function interpreterOf(path: string): string | null {
  try {
    const fd = openSync(path, constants.O_RDONLY);
    const start = Buffer.alloc(mostBytes);
    const length = readSync(fd, start, 0, mostBytes, 0);
    closeSync(fd);
    return /^#![ \t]*([^ \t\n]+)/.exec(start.toString("latin1", 0, length))?.[1] ?? null;
  } catch {
    return null;
  }
}
