import { EnvironmentError } from "../../model/errors.ts";
import { bunFfi } from "../libc/libc-bun.ts";
import { type Carried, carryCaller, restartVariable, smallReservation } from "./caller.ts";
import { readProcText } from "./proc-files.ts";

/** What is promised, and below what the runtime breaks off even with the small reservation (tried: it works at 460 MB). */
const [leastMegabytes, hopelessMegabytes] = [512, 450];

/**
 * Starts this program again with a smaller reservation of memory, if its virtual memory is limited (`ulimit -v`, `h_vmem`)
 * too far. The runtime then could not reserve memory for compiled code, and so cannot call libc. Returns if there is nothing
 * to do. Throws an EnvironmentError if the limit is too low for the smaller reservation, too.
 */
export function restartUnderMemoryLimit(): void {
  const limit = addressSpaceLimit();
  if (limit === null || canCallLibc()) return;
  const megabytes = Math.floor(limit / 2 ** 20);
  const isSecondStart = process.env[smallReservation.name] !== undefined;
  if (!isSecondStart && megabytes >= hopelessMegabytes) startAgain(carryCaller());
  throw new EnvironmentError(`the virtual memory is limited to ${megabytes} MB (ulimit -v), which is too little`, {
    code: "ENOMEM",
    hint: `trainlock needs ${leastMegabytes} MB: raise \`ulimit -v\`, or the scheduler's limit of virtual memory (h_vmem)`,
  });
}

/** RLIMIT_AS in bytes, proc_pid_limits(5); null: unlimited. */
function addressSpaceLimit(): number | null {
  const found = /^Max address space +(\d+)/m.exec(readProcText("/proc/self/limits") ?? "")?.[1];
  return found === undefined ? null : Number(found);
}

function canCallLibc(): boolean {
  try {
    bunFfi().dlopen("libc.so.6", { getpid: { args: [], returns: "i32" } });
    return true;
  } catch {
    return false;
  }
}

/** Replaces this process: execve(2). Returns only where that is refused. */
function startAgain(carried: Carried | null): void {
  const env = {
    ...process.env,
    [smallReservation.name]: smallReservation.value,
    ...(carried === null ? {} : { [restartVariable]: JSON.stringify(carried) }),
  };
  const replace: unknown = Reflect.get(process, "execve");
  if (typeof replace !== "function") return;
  try {
    replace.call(process, process.execPath, [process.argv0, ...process.argv.slice(2)], env);
  } catch {
    // Too long for one variable, or refused: the limit is what is to be said.
  }
}
