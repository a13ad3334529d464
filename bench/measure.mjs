import { spawnSync } from "node:child_process";

export function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function quantile(numbers, share) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

/** Milliseconds from before the start to after the end of one process. Throws when it does not do its work. */
function timed({ what, argv, env, exitCode = 0 }) {
  const [file, ...args] = argv;
  const before = process.hrtime.bigint();
  const { status, error, stderr } = spawnSync(file, args, { env, stdio: ["ignore", "ignore", "pipe"] });
  const after = process.hrtime.bigint();
  if (error !== undefined || status !== exitCode) throw new Error(`${what}: ${error ?? `exit ${status}: ${stderr}`}`);
  return Number(after - before) / 1e6;
}

function shuffled(items) {
  const keyed = items.map((item) => ({ item, key: Math.random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}

/**
 * Median and quickest milliseconds of each command. They take turns, in another order every round: what the
 * machine does meanwhile slows all of them alike, and so does what the one before leaves behind.
 */
export function interleaved(commands, { warmUps = 5, rounds = 40 } = {}) {
  const times = new Map(commands.map(({ what }) => [what, []]));
  for (let round = -warmUps; round < rounds; round++) {
    for (const command of shuffled(commands)) {
      const elapsed = timed(command);
      if (round >= 0) times.get(command.what).push(elapsed);
    }
  }
  return new Map([...times].map(([what, all]) => [what, { median: median(all), quickest: Math.min(...all) }]));
}
