import { EnvironmentError } from "../../model/errors.ts";
import { bunFfi } from "../libc/libc-bun.ts";
import { type Carried, carryCaller, restartVariable, smallReservation } from "./caller.ts";
import { readProcText } from "./proc-files.ts";

const leastMegabytes = 512;

/**
 * Limits that keep the runtime from reserving memory, as proc_pid_limits(5) names them. Since Linux 4.7 that of the data counts
 * all private memory, getrlimit(2). Below `hopeless` MB the runtime breaks off even with the small reservation (tried: it works
 * at 460 MB of virtual memory, and at 350 MB of data).
 */
const limits = [
  { row: "Max address space", of: "virtual memory", option: "ulimit -v", resource: "h_vmem", hopeless: 450 },
  { row: "Max data size", of: "memory for data", option: "ulimit -d", resource: "h_data, bsub -D", hopeless: 380 },
] as const;

/**
 * Starts this program again with a smaller reservation of memory, if its memory is limited too far. The runtime then could not
 * reserve memory for compiled code, and so cannot call libc. Returns if there is nothing to do. Throws an EnvironmentError if a
 * limit is too low for the smaller reservation, too.
 */
export function restartUnderMemoryLimit(): void {
  const found = limitsHere();
  const [lowest] = found.toSorted((a, b) => a.megabytes - b.megabytes);
  if (lowest === undefined || canCallLibc()) return;
  const isSecondStart = process.env[smallReservation.name] !== undefined;
  if (!isSecondStart && found.every(({ megabytes, hopeless }) => megabytes >= hopeless)) startAgain(carryCaller());
  const { of, option, resource, megabytes } = lowest;
  throw new EnvironmentError(`the ${of} is limited to ${megabytes} MB (${option}), which is too little`, {
    code: "ENOMEM",
    hint: `trainlock needs ${leastMegabytes} MB: raise \`${option}\`, or the scheduler's limit of ${of} (${resource})`,
  });
}

/** Those that are set. */
function limitsHere() {
  const text = readProcText("/proc/self/limits") ?? "";
  return limits.flatMap((limit) => {
    const bytes = new RegExp(`^${limit.row} +(\\d+)`, "m").exec(text)?.[1];
    return bytes === undefined ? [] : [{ ...limit, megabytes: Math.floor(Number(bytes) / 2 ** 20) }];
  });
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
