import type { Configuration } from "../model/configuration.ts";
import { fieldOf } from "../site/condition.ts";
import type { Layout } from "../site/layout.ts";
import { fixedFields } from "../site/template.ts";
import type { RowValues } from "./command-template.ts";

/** What a row puts in the place of braces. */
export function rowValues(layout: Layout, configuration: Configuration, checkpoint: string | null): RowValues {
  const names = [...fixedFields, ...layout.site.dimensions.map(({ name }) => name)];
  return {
    fields: new Map(
      names.map((name) => {
        const value = fieldOf(configuration, name);
        return [name, value === null ? null : String(value)];
      }),
    ),
    weightsDir: layout.weightsDir(configuration),
    name: layout.displayName(configuration),
    checkpoint,
  };
}

/** Variables of ours that mean something else than a field of this name. */
const taken = new Set(
  (
    "ROOT LOCK_DIR CONFIG STORE STORE_CA STORE_CERT STORE_KEY STORE_USER STORE_PASSWORD_FILE WEIGHTS_DIR GENERATION " +
    "TOKEN LOCK NAME PID RESTART LAUNCH_ID VERSION SLOT CHECKPOINT CHECKPOINT_BEFORE ATTEMPT LAST_EXIT"
  ).split(" "),
);

/** TRAINLOCK_STRATEGY and so on: a value that a row does not have is empty, whatever the caller's environment says. */
export function rowVariables({ fields }: RowValues): Record<string, string> {
  const variables = [...fields].flatMap(([field, value]) => {
    const name = field.toUpperCase().replaceAll(/[^A-Z0-9]/g, "_");
    return taken.has(name) ? [] : [[`TRAINLOCK_${name}`, value ?? ""] as const];
  });
  return Object.fromEntries(variables);
}
