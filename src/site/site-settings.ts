import { templatesOf } from "./declared-layout.ts";
import { configVariable, openSite, type Site } from "./open-site.ts";
import { rootVariables } from "./root.ts";
import { type DeclaredGrid, emptySiteConfig, type SiteConfig } from "./site-config.ts";
import { siteFileVersion } from "./site-file.ts";
import type { StoreOrigins } from "./store-in-force.ts";
import { fileKeys, type StoreSettings } from "./store-settings.ts";

/** One thing that is in force, and who says so. */
export interface Setting {
  readonly key: string;
  readonly value: string | number | readonly string[] | null;
  /** A flag, a variable, `FILE:LINE`, or `default`. */
  readonly from: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Everything that is in force for a site. Throws as opening it does. */
export function siteSettings(site: Site, env: Environment = process.env): readonly Setting[] {
  const { layout, file, storeFrom } = openSite(site, env);
  const { site: config } = layout;
  const isSet = (name: string) => env[name] !== undefined && env[name] !== "";
  const line = (key: string) =>
    file === null || config.lines[key] === undefined ? "default" : `${file}:${config.lines[key]}`;
  const fileFrom =
    site.config !== undefined
      ? "--config"
      : isSet(configVariable)
        ? configVariable
        : file === null
          ? "default"
          : "the root";
  return [
    {
      key: "root",
      value: layout.root,
      from: site.root !== undefined ? "--root" : (rootVariables.find(isSet) ?? "default"),
    },
    { key: "config", value: file, from: fileFrom },
    { key: "lock_dir", value: layout.lockDir, from: site.lockDir !== undefined ? "--lock-dir" : line("lock_dir") },
    ...declaredSettings(config).map(
      ([key, value]): Setting => ({ key, value, from: line(key.replace(/^done\..*/, "done")) }),
    ),
    ...storeSettings(layout.store, storeFrom),
  ];
}

/** Where there is none, locks are on the file system. */
function storeSettings(store: StoreSettings | null, origins: StoreOrigins | null): Setting[] {
  if (store === null || origins === null) return [{ key: "store", value: null, from: "default" }];
  const { ttlMs, alsoMarker } = store;
  const shown = { ...store, ttlMs: `${ttlMs / 1000}s`, alsoMarker: alsoMarker === null ? "auto" : String(alsoMarker) };
  return (Object.keys(fileKeys) as (keyof typeof fileKeys)[]).map((key) => ({
    key: key === "address" ? "store" : `store.${fileKeys[key]}`,
    value: shown[key],
    from: origins[key],
  }));
}

/** The path of a grid file as it is written, else how many blocks there are. */
function gridText(grid: DeclaredGrid | null): string | null {
  if (grid === null) return null;
  const { value } = grid;
  if (!value.isList && !value.isMapping) return value.text("blocks, or the path of a grid file");
  const { length } = value.list();
  return length === 1 ? "1 block" : `${length} blocks`;
}

function declaredSettings(config: SiteConfig): readonly (readonly [string, Setting["value"]])[] {
  const { strategies, models, datasets, dimensions, ssh, timeouts } = config;
  const { progress } = config;
  return [
    ["version", siteFileVersion],
    ["lock_primitive", config.lockPrimitive],
    ["strategies", strategies],
    ["models", models],
    ["datasets", datasets],
    ["dimensions", dimensions.map((d) => `${d.name} (${d.type}${d.optional ? ", optional" : ""}) as ${d.prefix}…`)],
    ["weights", templatesOf(config).map(({ text }) => text)],
    ["links", config.links],
    ["done.when", config.done?.when ?? []],
    ["done.min_size", config.done?.minBytes ?? null],
    ["done.file", config.done?.file ?? null],
    ["checkpoint", config.checkpoint],
    ["grid", gridText(config.grid)],
    ["group", config.group],
    ["mode", config.mode === null ? null : config.mode.toString(8).padStart(4, "0")],
    ["hosts", config.hosts],
    ["scheduler", config.scheduler],
    ["ssh.user", ssh.user],
    ["ssh.port", ssh.port],
    ["ssh.jump_host", ssh.jumpHost],
    ["requeue_wait", `${config.requeueWaitMs / 1000}s`],
    ["max_attempts", config.maxAttempts],
    ["history", config.history ? "on" : "off"],
    ["record.command", config.recordsCommand ? "on" : "off"],
    ...(["probe", "ssh", "scheduler"] as const).map(
      (key) => [`timeouts.${key}`, `${(timeouts[`${key}Ms`] ?? emptySiteConfig.timeouts.probeMs) / 1000}s`] as const,
    ),
    ["progress", progress === null ? null : `${progress.line} in ${progress.file}`],
  ];
}
