import { UsageError } from "../model/errors.ts";

/** The two fields of `--by strategy,model`, of these names. Throws a UsageError for anything else. */
export function axesFrom(by: string | undefined, names: readonly string[]): [string, string] {
  const [down, across, more] = (by ?? "strategy,model").split(",").map((name) => name.trim());
  for (const name of [down, across]) {
    if (name === undefined || more !== undefined)
      throw new UsageError(`--by ${JSON.stringify(by)}: give two fields`, { hint: "for example --by strategy,model" });
    if (!names.includes(name))
      throw new UsageError(`--by: no field is called ${JSON.stringify(name)}`, { hint: `one of ${names.join(", ")}` });
  }
  return [down ?? "", across ?? ""];
}
