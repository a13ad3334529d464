import { accessSync, closeSync, constants, openSync, readSync, statSync } from "node:fs";
import { constants as os } from "node:os";
import { delimiter, join } from "node:path";
import { exitCodes } from "../model/errors.ts";
import { errnoName } from "../system/libc/errno.ts";

/** Why a command was not started. */
export interface FailedStart {
  /** 127: there is no such command; 126: it cannot be executed. */
  readonly exitCode: number;
  readonly why: string;
  readonly hint: string;
}

const notFoundHint = "name a program of PATH, or give its path; a job's PATH may be another than yours";
const notExecutableHint =
  "give a program, or the interpreter of a script: bash FILE, python FILE; chmod +x lets a file be one";

/** What a failed start was about: ENOENT is said of a script as well whose interpreter is not there (execve(2)). */
export function explainFailedStart(program: string, errno: number, path: string = process.env.PATH ?? ""): FailedStart {
  const script = errno === os.errno.ENOENT ? fileOf(program, path) : null;
  const interpreter = script === null ? null : interpreterOf(script);
  if (interpreter === null) {
    return errno === os.errno.ENOENT
      ? { exitCode: exitCodes.notFound, why: "command not found", hint: notFoundHint }
      : { exitCode: exitCodes.cannotExecute, why: `cannot be executed: ${errnoName(errno)}`, hint: notExecutableHint };
  }
  if (interpreter.endsWith("\r")) {
    const hint = `its first line ends with a carriage return: sed -i 's/\\r$//' ${script}`;
    return { exitCode: exitCodes.cannotExecute, why: "cannot be executed: the script has DOS line ends", hint };
  }
  const hint = "the first line of the script, after `#!`, names it";
  return {
    exitCode: exitCodes.cannotExecute,
    why: `cannot be executed: its interpreter ${interpreter} is not there`,
    hint,
  };
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
