import { type Command, Option } from "commander";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { type Configuration, parseConfiguration } from "../model/configuration.ts";
import { EnvironmentError, UsageError } from "../model/errors.ts";
import { defaultLayout, type Layout } from "../model/layout.ts";
import { asSystemError } from "../system/errno.ts";

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

/** Where to look, in this order; the last two are what the Python script reads. */
const rootVariables = ["TRAINLOCK_ROOT", "AWARE_DATA_ROOT", "PROVE_ROOT"] as const;

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

/** The layout under the root that options or environment name. Exit 2 when nothing names one, 3 when it is not there. */
export function layoutFrom(options: SiteOptions): Layout {
  const root = rootFrom(options);
  requireFolder(root);
  if (options.lockDir === undefined) return defaultLayout(root);
  if (options.lockDir === "") throw new UsageError("--lock-dir is empty", { hint: "name a folder" });
  return defaultLayout(root, resolve(options.lockDir));
}

function rootFrom(options: SiteOptions): string {
  if (options.root === "") throw new UsageError("--root is empty", { hint: "name the shared folder" });
  const named = options.root ?? rootVariables.map((name) => process.env[name]).find((value) => value !== undefined && value !== "");
  if (named === undefined) {
    throw new UsageError(`no root: give --root DIR or set one of ${rootVariables.join(", ")}`, {
      hint: "the root is the shared folder that WEIGHTS and training_locks lie in",
    });
  }
  return resolve(named);
}

function requireFolder(root: string): void {
  try {
    if (statSync(root).isDirectory()) return;
  } catch (error) {
    throw asSystemError("use the root", root, error);
  }
  throw new EnvironmentError(`the root ${root} is not a folder`, { code: "ENOTDIR", hint: "give the shared folder as --root" });
}
