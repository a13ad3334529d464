import { type Command, Option } from "commander";
import { type Configuration, parseConfiguration } from "../model/configuration.ts";
import type { Layout } from "../model/layout.ts";
import { rootVariables } from "../model/root.ts";
import { openLayout } from "../operations/open-layout.ts";

export interface SiteOptions {
  readonly root?: string;
  readonly lockDir?: string;
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
}

export function addSiteOptions(command: Command): Command {
  return command
    .option("--root <dir>", `the shared folder (else $${rootVariables.join(", $")})`)
    .option("--lock-dir <dir>", "the folder of the kernel locks (else training_locks in the root)")
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
    .addOption(new Option("--stage <stage>", "stage, a number or a name"));
}

export function configurationFrom(options: ConfigurationOptions): Configuration {
  return parseConfiguration(options);
}

export function layoutFrom(options: SiteOptions): Layout {
  return openLayout(options);
}
