import { basename, join, relative, sep } from "node:path";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import { holds } from "./condition.ts";
import { defaultLayout, kernelLockName, type Layout, modelFolder, type WeightsTree } from "./layout.ts";
import type { SiteConfig } from "./site-config.ts";
import type { StoreSettings } from "./store-settings.ts";
import { filtered, type Segment, segmentPattern, type Template, type Vocabulary } from "./template.ts";
import { matchTemplate, renderTemplate } from "./template-match.ts";

const longestFileName = 255;

/** The layout that a site declares. Without templates of its own it is the default one, dimensions appended. */
export function declaredLayout(
  root: string,
  lockDir: string,
  site: SiteConfig,
  store: StoreSettings | null = null,
): Layout {
  const { dimensions, datasets } = site;
  const plain = defaultLayout(root, lockDir, site, store);
  if (site.weights.length === 0 && dimensions.length === 0) return plain;
  const vocabulary: Vocabulary = { dimensions, datasets };
  const templates = templatesOf(site);
  const templateFor = (configuration: Configuration): Template => {
    const template = templates.find(({ conditions }) => holds(conditions, configuration));
    if (template !== undefined) return template;
    throw new UsageError(`no weights template fits ${describeConfiguration(configuration)}`, {
      code: "ERR_NO_TEMPLATE",
      hint: "add one without conditions at the end of `weights` in trainlock.yaml",
    });
  };
  const configurationOf = (weightsDir: string): Configuration | null => {
    const path = relative(root, weightsDir).split(sep).join("/");
    for (const template of templates) {
      const configuration = matchTemplate(template, path, vocabulary);
      if (configuration !== null) return configuration;
    }
    return null;
  };
  const displayName = (configuration: Configuration): string => {
    const { strategy, dataset } = configuration;
    return `${strategy}/${filtered(dataset, datasetFilters(templateFor(configuration)))}/${modelFolder(configuration, dimensions)}`;
  };
  const lockPath = (configuration: Configuration) => join(lockDir, kernelLockName(configuration, dimensions));
  return {
    root,
    links: site.links,
    lockDir,
    site,
    store,
    weightsTrees: site.weights.length === 0 ? plain.weightsTrees : templates.map((t) => treeOf(t, root, vocabulary)),
    weightsDir: (configuration) => {
      const path = renderTemplate(templateFor(configuration), configuration, vocabulary);
      requireFolderNames(path);
      return join(root, path);
    },
    kernelLockPath: (configuration) => {
      const path = lockPath(configuration);
      requireFolderNames(basename(path));
      return path;
    },
    displayName,
    displayNameOfWeightsDir: (weightsDir) => {
      const configuration = configurationOf(weightsDir);
      return configuration === null ? plain.displayNameOfWeightsDir(weightsDir) : displayName(configuration);
    },
    kernelLockPathOfWeightsDir: (weightsDir) => {
      const configuration = configurationOf(weightsDir);
      return configuration === null ? plain.kernelLockPathOfWeightsDir(weightsDir) : lockPath(configuration);
    },
    configurationOfWeightsDir: configurationOf,
  };
}

/** The templates in force: those of the site, else the one that every site has. */
export function templatesOf(site: SiteConfig): readonly Template[] {
  if (site.weights.length > 0) return site.weights;
  // Asked for each row of a grid.
  const made = defaultTemplates.get(site) ?? [defaultTemplate(site)];
  defaultTemplates.set(site, made);
  return made;
}

const defaultTemplates = new WeakMap<SiteConfig, readonly Template[]>();

/** What protocol and Python script have, the site's dimensions at the end. */
function defaultTemplate({ dimensions }: SiteConfig): Template {
  const field = (name: string): Segment[number] => ({ kind: "field", field: name, filters: [] });
  return {
    text: `WEIGHTS/{strategy}/{dataset|lower}_cd/{model}{ratio}{aux_loss}${dimensions.length === 0 ? "" : "{dimensions}"}`,
    segments: [
      [{ kind: "literal", text: "WEIGHTS" }],
      [field("strategy")],
      [
        { kind: "field", field: "dataset", filters: ["lower"] },
        { kind: "literal", text: "_cd" },
      ],
      [field("model"), field("ratio"), field("aux_loss"), ...dimensions.map(({ name }) => field(name))],
    ],
    conditions: [],
    done: null,
    checkpoint: null,
  };
}

function datasetFilters({ segments }: Template) {
  const part = segments.flat().find((candidate) => candidate.kind === "field" && candidate.field === "dataset");
  return part?.kind === "field" ? part.filters : [];
}

function treeOf({ segments }: Template, root: string, vocabulary: Vocabulary): WeightsTree {
  const literal = (segment: Segment) =>
    segment.every((part) => part.kind === "literal")
      ? segment.map((part) => (part.kind === "literal" ? part.text : "")).join("")
      : null;
  const firstOpen = segments.findIndex((segment) => literal(segment) === null);
  const top = segments.slice(0, firstOpen).map((segment) => literal(segment) ?? "");
  const levels = segments.slice(firstOpen).map((segment) => {
    const name = literal(segment);
    if (name !== null) return name;
    const pattern = segmentPattern(segment, vocabulary);
    return (found: string) => pattern.test(found);
  });
  return { top: join(root, ...top), levels };
}

/** Rendered names may be too long where each part was not. */
function requireFolderNames(path: string): void {
  const long = path.split("/").find((name) => Buffer.byteLength(name) > longestFileName);
  if (long === undefined) return;
  throw new UsageError(`the name ${JSON.stringify(long)} is longer than ${longestFileName} bytes`, {
    hint: "shorten one of the names that it is made of",
  });
}
