import { readFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestConfiguration } from "../support/configuration.ts";
import { executable, holdWithRun, trainlock } from "../support/trainlock.ts";

/** The recipes of a page in docs that are marked `<!-- guarded: NAME -->`, by name. */
export function guardedRecipes(page: string): ReadonlyMap<string, string> {
  const text = readFileSync(fileURLToPath(new URL(`../../docs/${page}`, import.meta.url)), "utf8");
  const found = text.matchAll(/<!-- guarded: (\S+) -->\n```\w+\n([\s\S]*?)```/g);
  return new Map([...found].map(([, name = "", script = ""]) => [name, script]));
}

/** Where recipes find `trainlock`. */
export const pathWithTrainlock = `${dirname(executable)}:${process.env.PATH}`;

/** The environment of a command whose claim another has overtaken: given back long ago, and made again by somebody else. */
export async function overtaken(of: TestConfiguration): Promise<Record<string, string>> {
  const { stdout } = await trainlock(["run", ...of.args, "--", "env"]);
  await holdWithRun(of.args);
  const variables = stdout.split("\n").filter((line) => line.startsWith("TRAINLOCK_"));
  return Object.fromEntries(variables.map((line) => /^(\w+)=(.*)$/.exec(line)?.slice(1) ?? []));
}
