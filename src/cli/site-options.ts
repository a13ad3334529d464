import { type Configuration, fieldOptions, parseConfiguration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import type { Layout } from "../site/layout.ts";
import { readName } from "../site/named-configuration.ts";
import { configurationFor, configVariable, openLayout } from "../site/open-site.ts";
import { rootVariables } from "../site/root.ts";
import type { StoreChoice } from "../site/store-in-force.ts";
import { storeVariables } from "../site/store-settings.ts";
import { flag, grouped, negatedFlag, repeatedValue, type ValuesOf, value } from "./command.ts";
import { flagOf } from "./parse-call.ts";

/** Where the site is, and not yet what it says. */
export const placeOptions = grouped("Common options", {
  root: value("<dir>", `the shared folder (else $${rootVariables.join(", $")})`),
  lockDir: value("<dir>", "the folder of the kernel locks (else training_locks in the root)"),
  config: value("<file>", `the site's file (else $${configVariable}, else trainlock.yaml in the root)`),
  color: negatedFlag("no colours, also on a terminal"),
  debug: flag("show what ssh, schedulers and etcd were asked, and what they answered"),
});

export const siteOptions = {
  ...placeOptions,
  ...grouped("Common options", {
    store: value(
      "<address>",
      `where locks are kept, such as etcd://host:2379 (else $${storeVariables.address}, else the site's file, else on the file system)`,
    ),
  }),
};

export const jsonOption = grouped("Common options", { json: flag("one JSON document on standard output") });

export const configurationOptions = grouped("Configuration", {
  strategy: value("<name>", "training strategy, for example baseline"),
  dataset: value("<name>", "dataset, for example IDD-AW"),
  model: value("<name>", "model, for example deeplabv3plus_r50"),
  ratio: value("<number>", "share of generated data, 0 to 1"),
  auxLoss: value("<name>", "auxiliary loss"),
  stage: value("<stage>", "stage, a number or a name"),
  set: repeatedValue("<name=value>", "a dimension that the site declares, for example seed=3; may be repeated"),
  name: value(
    "<name>",
    "all of these except the stage in one name, as plan and list show it: baseline/idd-aw/pspnet_r50",
  ),
});

export type SiteOptions = ValuesOf<typeof siteOptions>;
export type ConfigurationOptions = ValuesOf<typeof configurationOptions>;

export interface Opened {
  readonly configuration: Configuration;
  readonly layout: Layout;
}

/** Reads both, because the site says what a configuration is. A wrong name is reported before a wrong place. */
export function openWith(given: ConfigurationOptions & SiteOptions & StoreChoice): Opened {
  if (given.name !== undefined) return openNamed(given.name, given);
  const options = withEnvironment(given);
  parseConfiguration(options);
  const dimensions = assignments(options.set ?? []);
  const layout = layoutFrom(options);
  return { layout, configuration: configurationFor(layout, { ...options, dimensions }) };
}

/** Options beside `--name` say what the name does not. */
function openNamed(name: string, given: ConfigurationOptions & SiteOptions & StoreChoice): Opened {
  const layout = layoutFrom(given);
  const { dimensions, ...named } = readName(layout, name);
  const added = assignments(given.set ?? []);
  const saidTwice = [
    ...Object.entries(named).flatMap(([key, value]) =>
      value !== null && given[key as keyof ConfigurationOptions] !== undefined ? [flagOf(key)] : [],
    ),
    ...Object.keys(added).flatMap((key) => (Object.hasOwn(dimensions, key) ? [`--set ${key}`] : [])),
  ];
  if (saidTwice[0] !== undefined)
    throw new UsageError(`--name ${JSON.stringify(name)} and ${saidTwice[0]} say the same`, {
      hint: "give one of them",
    });
  const { ratio = named.ratio, auxLoss = named.auxLoss, stage } = given;
  const input = { ...named, ratio, auxLoss, stage, dimensions: { ...dimensions, ...added } };
  return { layout, configuration: configurationFor(layout, input) };
}

export function layoutFrom(options: SiteOptions & StoreChoice): Layout {
  return openLayout(options);
}

/**
 * TRAINLOCK_STRATEGY and so on stand for the flags of a configuration where none of these is given. Never inside a claim: there
 * they name what is being trained, and a job that is submitted from there inherits them.
 */
function withEnvironment<T extends ConfigurationOptions>(options: T, env: NodeJS.ProcessEnv = process.env): T {
  const keys = Object.keys(configurationOptions) as (keyof ConfigurationOptions)[];
  if (keys.some((key) => options[key] !== undefined) || (env.TRAINLOCK_TOKEN ?? "") !== "") return options;
  const read = (key: string) => env[`TRAINLOCK_${flagOf(key).slice(2).toUpperCase().replaceAll("-", "_")}`];
  const named = keys.flatMap((key) =>
    key === "set" || key === "name" || (read(key) ?? "") === "" ? [] : [[key, read(key)]],
  );
  return { ...options, ...Object.fromEntries(named) };
}

function assignments(given: readonly string[]): Record<string, string> {
  // Without a prototype: `--set __proto__=3` is a value like any other, and no dimension that a site can declare.
  const values: Record<string, string> = Object.create(null);
  for (const text of given) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined || value === undefined)
      throw new UsageError(`--set ${JSON.stringify(text)} is not name=value`, { hint: "for example --set seed=3" });
    if (Object.hasOwn(values, name))
      throw new UsageError(`--set ${name} is given twice`, { hint: "a dimension has one value" });
    if (Object.hasOwn(fieldOptions, name))
      throw new UsageError(`--set ${name}: it has an option of its own`, { hint: `give ${fieldOptions[name]}` });
    values[name] = value;
  }
  return values;
}
