import { exitCodes } from "../../model/errors.ts";
import { printable } from "../../model/printable.ts";
import { type Setting, siteSettings } from "../../site/site-settings.ts";
import { defineCommand, type ValuesOf } from "../command.ts";
import { print, printJson } from "../output.ts";
import { configurationOptions, jsonOption, openWith, siteOptions } from "../site-options.ts";

const options = { ...configurationOptions, ...siteOptions, ...jsonOption };

type ConfigOptions = ValuesOf<typeof options>;

export const command = defineCommand({
  summary: "print each setting in force and its source; with a configuration, its paths too",
  options,
  examples: [
    "trainlock config --root /data",
    "trainlock config --strategy baseline --dataset IDD-AW \\\n    --model deeplabv3plus_r50",
  ],
  exitCodes: { 0: "printed", 2: "the call is wrong, or the site's file has a mistake", 3: "the environment is wrong" },
  execute: config,
});

function config(given: ConfigOptions): number {
  const settings = siteSettings(given);
  const names = namesOf(given);
  if (given.json) printJson({ settings, names });
  else print(settings.map(settingText).join("") + (names === null ? "" : `\n${namesText(names)}`));
  return exitCodes.ok;
}

interface Names {
  readonly name: string;
  readonly weightsDir: string;
  readonly kernelLock: string;
}

/** Null where no configuration is given: then only the site is asked about. */
function namesOf(given: ConfigOptions): Names | null {
  const { strategy, dataset, model, name } = given;
  if ([strategy, dataset, model, name].every((each) => each === undefined)) return null;
  const { configuration, layout } = openWith(given);
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
