import { existsSync, readFileSync } from "node:fs";
import { mkdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryRoot } from "./temporary-root.ts";

const program = (name: string) => fileURLToPath(new URL(`stand-ins/${name}`, import.meta.url));

export interface StandIns {
  readonly env: Readonly<Record<string, string>>;
  /** One line each time one of them was started, or ended. */
  log(): string[];
}

/** Commands that stand before the real ones on PATH, and write down how they were called. */
export async function standIns(...schedulerCommands: readonly string[]): Promise<StandIns> {
  const folder = await temporaryRoot();
  const bin = join(folder, "bin");
  const log = join(folder, "log");
  await mkdir(bin);
  await symlink(program("ssh"), join(bin, "ssh"));
  for (const name of schedulerCommands) await symlink(program("scheduler"), join(bin, name));
  return {
    env: { PATH: `${bin}:${process.env.PATH}`, STAND_IN_LOG: log },
    log: () => (existsSync(log) ? readFileSync(log, "utf8").split("\n").filter(Boolean) : []),
  };
}
