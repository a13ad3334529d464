import type { Configuration } from "../model/configuration.ts";
import { holds } from "./condition.ts";
import { templatesOf } from "./declared-layout.ts";
import type { DoneDeclaration } from "./done-declaration.ts";
import type { SiteConfig } from "./site-config.ts";

/** What the site declares for a configuration: its template key by key, then the site. */
export function declaredDone(site: SiteConfig, configuration: Configuration): DoneDeclaration {
  return mergedDone([templateDone(site, configuration), site.done]);
}

/** Key by key the first that says something. */
export function mergedDone(declarations: readonly (Partial<DoneDeclaration> | null)[]): DoneDeclaration {
  const first = <K extends keyof DoneDeclaration>(key: K): DoneDeclaration[K] | null =>
    declarations.find((declaration) => (declaration?.[key] ?? null) !== null)?.[key] ?? null;
  return { when: first("when"), minBytes: first("minBytes"), file: first("file") };
}

/** Patterns of what a configuration's training can resume from; empty: none are declared. */
export function declaredCheckpoint(site: SiteConfig, configuration: Configuration): readonly string[] {
  return templateOf(site, configuration)?.checkpoint ?? site.checkpoint;
}

function templateDone(site: SiteConfig, configuration: Configuration): DoneDeclaration | null {
  return templateOf(site, configuration)?.done ?? null;
}

/** The template in force for a configuration. */
export function templateOf(site: SiteConfig, configuration: Configuration) {
  return templatesOf(site).find(({ conditions }) => holds(conditions, configuration));
}
