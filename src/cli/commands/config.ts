import type { Command } from "commander";
import { exitCodes } from "../../model/errors.ts";
import { type Setting, siteSettings } from "../../site/site-settings.ts";
import { helpEnd } from "../help.ts";
import { print, printJson } from "../output.ts";
import { printable } from "../show/printable.ts";
import {
  addConfigurationOptions,
  addJsonOption,
  addSiteOptions,
  type ConfigurationOptions,
  openWith,
  type SiteOptions,
} from "../site-options.ts";

interface ConfigOptions extends SiteOptions, ConfigurationOptions {}

export function addConfigCommand(program: Command, done: (exitCode: number) => void): void {
  const command = program
    .command("config")
    .description("print each setting in force and its source; with a configuration, its paths too");
  addJsonOption(addSiteOptions(addConfigurationOptions(command)))
    .addHelpText(
      "after",
      helpEnd(
        [
          "trainlock config --root /data",
          "trainlock config --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50",
        ],
        { 0: "printed", 2: "the call is wrong, or the site's file has a mistake", 3: "the environment is wrong" },
      ),
    )
    .action((options: ConfigOptions) => done(config(options)));
}

function config(options: ConfigOptions): number {
  const settings = siteSettings(options);
  const names = namesOf(options);
  if (options.json) printJson({ settings, names });
  else print(settings.map(settingText).join("") + (names === null ? "" : `\n${namesText(names)}`));
  return exitCodes.ok;
}

interface Names {
  readonly name: string;
  readonly weightsDir: string;
  readonly kernelLock: string;
}

/** Null where no configuration is given: then only the site is asked about. */
function namesOf(options: ConfigOptions): Names | null {
  const { strategy, dataset, model } = options;
  if (strategy === undefined && dataset === undefined && model === undefined) return null;
  const { configuration, layout } = openWith(options);
  return {
    name: layout.displayName(configuration),
    weightsDir: layout.weightsDir(configuration),
    kernelLock: layout.kernelLockPath(configuration),
  };
}

function settingText({ key, value, from }: Setting): string {
  const values = Array.isArray(value) ? value : [value ?? "-"];
  const shown = values.length === 0 ? ["-"] : values.map((item) => printable(String(item)));
  return shown.map((text, index) => `${(index === 0 ? key : "").padEnd(19)} ${text}  [${printable(from)}]\n`).join("");
}

function namesText({ name, weightsDir, kernelLock }: Names): string {
  return `${"name".padEnd(19)} ${printable(name)}\n${"weights dir".padEnd(19)} ${printable(weightsDir)}\n${"kernel lock".padEnd(19)} ${printable(kernelLock)}\n`;
}
