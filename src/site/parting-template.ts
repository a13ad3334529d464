import type { Configuration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import { fieldOf } from "./condition.ts";
import { declaredLayout, templatesOf } from "./declared-layout.ts";
import type { Layout } from "./layout.ts";
import { readWeights } from "./site-file-weights.ts";
import type { Template } from "./template.ts";
import { conflictOf } from "./template-faults.ts";
import { readYaml } from "./yaml-reader.ts";

/**
 * The entry for the top of `weights:` in trainlock.yaml that gives two configurations folders of their own, in the field in
 * which they differ. Null where they differ in names that no template parts, such as capitals of a dataset.
 */
export function partingTemplate(layout: Layout, first: Configuration, second: Configuration): string | null {
  const { site, root, lockDir } = layout;
  const templates = templatesOf(site);
  const optional = site.dimensions.flatMap(({ name, optional }) => (optional ? [name] : []));
  for (const field of ["stage", "ratio", "aux_loss", ...optional]) {
    if (fieldOf(first, field) === fieldOf(second, field)) continue;
    const entry = entryFor(templates.at(-1)?.text ?? "", field);
    const template = readEntry(entry, layout);
    if (template === null || templates.some((other) => conflictOf(template, other, site) !== null)) continue;
    const parted = declaredLayout(root, lockDir, { ...site, weights: [template, ...templates] });
    if (parted.weightsDir(first) !== parted.weightsDir(second)) return entry;
  }
  return null;
}

/** The template in force below a top folder of the field's own. */
function entryFor(text: string, field: string): string {
  const [top = "", ...below] = text.split("/");
  const path = [
    `${top}_${field.toUpperCase()}_{${field}|bare}`,
    ...below.map((name) => name.replace(`{${field}}`, "")),
  ];
  return `- { path: "${path.join("/")}", when: { ${field}: given } }`;
}

function readEntry(entry: string, { site: { dimensions, datasets } }: Layout): Template | null {
  try {
    return readWeights(readYaml(entry, "trainlock.yaml"), { dimensions, datasets })[0] ?? null;
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}
