import type { Configuration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import type { Layout } from "./layout.ts";

/** Where a site trains a configuration that was found in a record, and how it is shown. */
export interface PlaceHere {
  readonly name: string;
  readonly weightsDir: string;
}

/** Null: no template of this site is for it. It is another site's, or the templates were changed since. */
export function placeHere(layout: Layout, configuration: Configuration): PlaceHere | null {
  try {
    return { name: layout.displayName(configuration), weightsDir: layout.weightsDir(configuration) };
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}
