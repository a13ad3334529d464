import type { Configuration } from "../model/configuration.ts";
import type { Layout } from "../site/layout.ts";

/** A name that no other row of a grid has: the stages of a configuration have one name, but folders of their own. */
export function rowName(layout: Layout, configuration: Configuration): string {
  return withStage(layout.displayName(configuration), configuration);
}

/** The name of a configuration with its stage, where it has one. */
export function withStage(name: string, { stage }: Pick<Configuration, "stage">): string {
  return stage === null ? name : `${name} (stage ${stage})`;
}

/** A name as `rowName` makes it, in its parts. */
export function partsOfRowName(text: string): { readonly name: string; readonly stage: string | null } {
  const [, name, stage] = /^(.*) \(stage (.+)\)$/s.exec(text) ?? [];
  return name === undefined || stage === undefined ? { name: text, stage: null } : { name, stage };
}
