import { basename } from "node:path";

/** Programs that hand a command to a queue and end at once, each with the options by which it waits for the end instead. */
const submitters: ReadonlyMap<string, RegExp | null> = new Map([
  ["sbatch", /^(-W|--wait)$/],
  ["bsub", /^-(K|I|Ip|Is|IS)$/],
  ["qsub", /^(-I|-sync y(es)?|-W (.*,)?block=true(,.*)?)$/],
  ["at", null],
  ["batch", null],
  ["tsp", /^-\w*f\w*$/],
]);

/** These start their last arguments as a program; of their own ones options, variables and numbers are passed over. */
const starters = new Set(["env", "exec", "nice", "nohup", "setsid", "stdbuf", "timeout"]);

/**
 * The name of the program by which a command only submits a job, and ends long before that does; null: it submits none. What a
 * shell script submits is not seen.
 */
export function submitterIn(argv: readonly string[]): string | null {
  const at = argv.findIndex((word) => !(starters.has(basename(word)) || /^-|=|^[\d.]+[smhd]?$/.test(word)));
  const name = basename(argv[at] ?? "");
  const waits = submitters.get(name);
  if (waits === undefined) return null;
  const rest = argv.slice(at + 1);
  const isAwaited = rest.some((word, index) => waits?.test(word) || waits?.test(`${word} ${rest[index + 1]}`));
  return isAwaited ? null : name;
}
