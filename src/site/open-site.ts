import { accessSync, type BigIntStats, constants, lstatSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { type Configuration, type ConfigurationInput, parseConfiguration } from "../model/configuration.ts";
import { type DimensionValue, parseDimensions } from "../model/dimensions.ts";
import { EnvironmentError, TrainlockError, UsageError } from "../model/errors.ts";
import { nearest } from "../model/nearest.ts";
import { nearestExisting } from "../system/files/nearest-existing.ts";
import { declareRootOf } from "../system/files/open-beneath.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { declarePermissions, ownerOf } from "../system/files/shared-permissions.ts";
import { requireWithin } from "../system/files/within.ts";
import { asSystemError, errnoOf, systemError } from "../system/libc/errno.ts";
import { groupNumber } from "../system/processes/groups.ts";
import { declaredLayout } from "./declared-layout.ts";
import { defaultLayout, defaultLockDir, type Layout } from "./layout.ts";
import { rootFrom } from "./root.ts";
import { emptySiteConfig, type SiteConfig, siteFileName } from "./site-config.ts";
import { parseSiteFile } from "./site-file.ts";
import { type StoreChoice, type StoreOrigins, storeInForce } from "./store-in-force.ts";
import { requireTrustedFile } from "./trusted-file.ts";

export interface Site extends Pick<StoreChoice, "store"> {
  readonly root?: string | undefined;
  readonly lockDir?: string | undefined;
  /** The site's file; else the environment's TRAINLOCK_CONFIG, else `trainlock.yaml` in the root. */
  readonly config?: string | undefined;
}

export interface OpenedSite {
  readonly layout: Layout;
  /** Null: there is none, all is default. */
  readonly file: string | null;
  /** Who says each setting of the store; null where locks are on the file system. */
  readonly storeFrom: StoreOrigins | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

export const configVariable = "TRAINLOCK_CONFIG";
const mostShown = 12;
const largestSiteFileBytes = 256 * 1024;

/**
 * The layout of a site. Throws a UsageError when nothing names the root, or for a mistake in the site's file; an
 * EnvironmentError when the root is not there. `rootArgument`: how the caller gives the root, for the message.
 */
export function openLayout(site: Site & StoreChoice, env: Environment = process.env, rootArgument?: string): Layout {
  return openSite(site, env, rootArgument).layout;
}

/** The same, with the file that declares it. */
export function openSite(site: Site & StoreChoice, env: Environment = process.env, rootArgument?: string): OpenedSite {
  const root = rootFrom(site.root, env, rootArgument);
  const rootUid = requireRoot(root);
  if (site.lockDir === "") throw new UsageError("--lock-dir is empty", { hint: "name a folder" });
  const declared = readSiteFile(site, root, env);
  // A user who names a link means the folder that it leads to now, whatever it leads to later.
  const lockDir =
    site.lockDir === undefined
      ? join(root, declared?.config.lockDir ?? defaultLockDir)
      : withoutLink(resolve(site.lockDir));
  // A lock dir that the caller names may be anywhere; one within the root must stay there.
  if (site.lockDir === undefined) {
    requireWithin({ root, links: [] }, lockDir);
    declareRootOf(lockDir, root);
  }
  if (declared === null) {
    const store = storeInForce(site, env, null);
    const layout = defaultLayout(root, lockDir, emptySiteConfig, store?.settings);
    return { layout, file: null, storeFrom: store?.origins ?? null };
  }
  const { config, file, found } = declared;
  if (config.group !== null || config.mode !== null) {
    const gid = config.group === null ? null : groupNumber(config.group, `${file}:${config.lines.group ?? 1}`);
    for (const top of [root, lockDir, ...config.links]) declarePermissions(top, { gid, fileMode: config.mode });
  }
  const whose = found === null ? null : { file: found, rootUid };
  if (config.links.length > 0) requireTrustedFile(file, whose, "which links are followed", "ERR_LINKS");
  const store = storeInForce(
    site,
    env,
    config.store && { path: file, declared: config.store, lines: config.lines, found: whose },
  );
  return { layout: declaredLayout(root, lockDir, config, store?.settings), file, storeFrom: store?.origins ?? null };
}

/** A configuration with its site's dimensions, and its dataset as the site spells it. Throws {@link UsageError}. */
export function configurationFor(
  layout: Layout,
  input: ConfigurationInput & { readonly dimensions?: Readonly<Record<string, DimensionValue>> | undefined },
): Configuration {
  const configuration = parseConfiguration(input);
  return {
    ...configuration,
    strategy: knownName("strategy", "strategies", configuration.strategy, layout.site.strategies),
    model: knownName("model", "models", configuration.model, layout.site.models),
    dataset: spelledDataset(configuration.dataset, layout.site.datasets),
    dimensions: parseDimensions(layout.site.dimensions, input.dimensions ?? {}),
  };
}

function spelledDataset(given: string, known: readonly string[] | null): string {
  const spelled = known?.find((name) => name.toLowerCase() === given.toLowerCase());
  return spelled ?? knownName("dataset", "datasets", given, known);
}

/** Throws a UsageError for a name that a site does not declare: it is taken for one that was mistyped. */
function knownName(field: string, many: string, given: string, known: readonly string[] | null): string {
  if (known === null || known.includes(given)) return given;
  const near = nearest(given, known);
  const shown = known.length > mostShown ? `${known.slice(0, mostShown).join(", ")}, …` : known.join(", ");
  throw new UsageError(`--${field} ${JSON.stringify(given)} is not among the ${many} of this site`, {
    hint: near === null ? `it declares ${shown}` : `did you mean ${near}?`,
  });
}

function withoutLink(path: string): string {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? nearestExisting(path).leadsTo : path;
}

interface SiteFile {
  readonly config: SiteConfig;
  readonly file: string;
  /** Null: the caller has named it. */
  readonly found: BigIntStats | null;
}

function readSiteFile(site: Site, root: string, env: Environment): SiteFile | null {
  if (site.config === "") throw new UsageError("--config is empty", { hint: "name a file" });
  const variable = env[configVariable];
  const named = site.config ?? (variable === "" ? undefined : variable);
  if (named !== undefined) {
    const file = resolve(named);
    try {
      // A user who names a file may name a link.
      return { config: parseSiteFile(readFileSync(file, "utf8"), file), file, found: null };
    } catch (error) {
      const errno = error instanceof TrainlockError ? undefined : errnoOf(error);
      if (errno === undefined) throw error;
      const hint =
        "--config and TRAINLOCK_CONFIG name a file that you can read; trainlock init --config FILE writes one";
      throw systemError("read the site's file", file, errno, error, undefined, hint);
    }
  }
  const file = join(root, siteFileName);
  const reading = readRegularFile(file, largestSiteFileBytes);
  if (reading.kind === "absent") return null;
  if (reading.kind !== "file" || reading.bytes.length > largestSiteFileBytes) {
    const why = reading.kind !== "file" ? reading.why : "larger than any site's file";
    throw new EnvironmentError(`cannot read the site's file ${file}: ${why}`, {
      code: "ERR_SITE_FILE",
      hint: "make it a regular file that you can read, or name another by --config",
    });
  }
  return { config: parseSiteFile(reading.bytes.toString("utf8"), file), file, found: reading.stats };
}

/** Whose folder it is. Throws an EnvironmentError for one that is gone, or cannot be looked into. */
export function requireRoot(root: string): number {
  try {
    const stats = statSync(root);
    if (stats.isDirectory()) {
      accessSync(root, constants.R_OK | constants.X_OK);
      return stats.uid;
    }
  } catch (error) {
    throw asSystemError("use the root", root, error, ownerOf(root));
  }
  throw new EnvironmentError(`the root ${root} is not a folder`, {
    code: "ENOTDIR",
    hint: "give the shared folder as --root",
  });
}
