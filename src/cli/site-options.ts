import { type Command, Option } from "commander";
import { type Configuration, parseConfiguration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import type { Layout } from "../site/layout.ts";
import { configurationFor, configVariable, openLayout } from "../site/open-site.ts";
import { rootVariables } from "../site/root.ts";
import type { StoreChoice } from "../site/store-in-force.ts";
import { storeVariables } from "../site/store-settings.ts";

export interface SiteOptions {
  readonly root?: string;
  readonly lockDir?: string;
  readonly config?: string;
  readonly store?: string;
  readonly color: boolean;
  readonly json?: boolean;
}

export interface ConfigurationOptions {
  readonly strategy?: string;
  readonly dataset?: string;
  readonly model?: string;
  readonly ratio?: string;
  readonly auxLoss?: string;
  readonly stage?: string;
  readonly set?: readonly string[];
}

export function addSiteOptions(command: Command): Command {
  return addPlaceOptions(command).option(
    "--store <address>",
    `where locks are kept, such as etcd://host:2379 (else $${storeVariables.address}, else the site's file, else on the file system)`,
  );
}

/** Where the site is, and not yet what it says. */
export function addPlaceOptions(command: Command): Command {
  return command
    .option("--root <dir>", `the shared folder (else $${rootVariables.join(", $")})`)
    .option("--lock-dir <dir>", "the folder of the kernel locks (else training_locks in the root)")
    .option("--config <file>", `the site's file (else $${configVariable}, else trainlock.yaml in the root)`)
    .option("--no-color", "no colours, also on a terminal");
}

export function addJsonOption(command: Command): Command {
  return command.option("--json", "one JSON document on standard output");
}

export function addConfigurationOptions(command: Command): Command {
  return command
    .addOption(new Option("--strategy <name>", "training strategy, for example baseline"))
    .addOption(new Option("--dataset <name>", "dataset, for example IDD-AW"))
    .addOption(new Option("--model <name>", "model, for example deeplabv3plus_r50"))
    .addOption(new Option("--ratio <number>", "share of generated data, 0 to 1"))
    .addOption(new Option("--aux-loss <name>", "auxiliary loss"))
    .addOption(new Option("--stage <stage>", "stage, a number or a name"))
    .option("--set <name=value>", "a dimension that the site declares, for example seed=3; may be repeated", append);
}

function append(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

export interface Opened {
  readonly configuration: Configuration;
  readonly layout: Layout;
}

/** Both, since a site says what a configuration is. A wrong name is told before a wrong place. */
export function openWith(options: ConfigurationOptions & SiteOptions & StoreChoice): Opened {
  parseConfiguration(options);
  const dimensions = assignments(options.set ?? []);
  const layout = layoutFrom(options);
  return { layout, configuration: configurationFor(layout, { ...options, dimensions }) };
}

export function layoutFrom(options: SiteOptions & StoreChoice): Layout {
  return openLayout(options);
}

function assignments(given: readonly string[]): Record<string, string> {
  const values: Record<string, string> = {};
  for (const text of given) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
    if (name === undefined || value === undefined)
      throw new UsageError(`--set ${JSON.stringify(text)} is not name=value`, { hint: "for example --set seed=3" });
    if (Object.hasOwn(values, name))
      throw new UsageError(`--set ${name} is given twice`, { hint: "a dimension has one value" });
    if (Object.hasOwn(ownOptions, name))
      throw new UsageError(`--set ${name}: it has an option of its own`, { hint: `give ${ownOptions[name]}` });
    values[name] = value;
  }
  return values;
}

const ownOptions: Readonly<Record<string, string>> = {
  strategy: "--strategy",
  dataset: "--dataset",
  model: "--model",
  ratio: "--ratio",
  aux_loss: "--aux-loss",
  stage: "--stage",
};
