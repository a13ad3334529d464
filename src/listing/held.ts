import { isAbsolute } from "node:path";
import type { ClaimStatus } from "../model/claim-status.ts";
import type { Configuration } from "../model/configuration.ts";
import { UsageError } from "../model/errors.ts";
import { kernelLockStem, type Layout } from "../site/layout.ts";
import { looksLikeAddress } from "../site/store-settings.ts";
import { claimStatusOf } from "../stores/folder/claim-status.ts";
import { requireWithin } from "../system/files/within.ts";

export interface HeldReport extends ClaimStatus {
  readonly name: string;
  /** Of the claim that was asked about; null where it was named by its configuration. */
  readonly token: string | null;
}

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Whether the claim that this process was started under is held, as the variables that `run` exports name it. With
 * `generation` it must have that one, too. Throws a UsageError where the variables are not there, or say nothing usable.
 */
export async function heldByEnvironment(env: Environment, generation: number | null): Promise<HeldReport> {
  const token = required(env, "TRAINLOCK_TOKEN", (text) => (/^[0-9a-f]{32}$/.test(text) ? text : null));
  const own = required(env, "TRAINLOCK_GENERATION", generationFrom);
  const address = remoteAddress(env.TRAINLOCK_LOCK);
  if (address !== null) {
    const { statusAtAddress } = await import("../stores/lease/remote-store.ts");
    const name = env.TRAINLOCK_NAME || address;
    return { ...(await statusAtAddress(address, token, generation)), name, token };
  }
  const lockPath = required(env, "TRAINLOCK_LOCK", absolutePath);
  const weightsDir = required(env, "TRAINLOCK_WEIGHTS_DIR", absolutePath);
  const name = env.TRAINLOCK_NAME || kernelLockStem(lockPath);
  const status = await claimStatusOf({ lockPath, weightsDir, token, generation: own, configuration: null });
  if (generation === null || generation === own) return { ...status, name, token };
  return { ...status, held: false, why: `its generation is ${own}, not ${generation}`, name, token };
}

/** Whether a configuration is held with that very generation, whoever has it. */
export async function heldByConfiguration(
  layout: Layout,
  configuration: Configuration,
  generation: number,
): Promise<HeldReport> {
  const name = layout.displayName(configuration);
  if (layout.store !== null) {
    const { statusOfConfiguration } = await import("../stores/lease/remote-store.ts");
    return { ...(await statusOfConfiguration(layout, layout.store, configuration, generation)), name, token: null };
  }
  const weightsDir = layout.weightsDir(configuration);
  requireWithin(layout, weightsDir);
  const lockPath = layout.kernelLockPath(configuration);
  const status = await claimStatusOf({ lockPath, weightsDir, token: null, generation, configuration });
  return { ...status, name, token: null };
}

/** The number that `run` hands to its command: 1 or more. Null for any other text. */
export function generationFrom(text: string): number | null {
  const number = /^[1-9]\d{0,15}$/.test(text) ? Number(text) : 0;
  return Number.isSafeInteger(number) && number > 0 ? number : null;
}

/** Of a claim that is kept in a store; null: it is on the file system, or nobody knows where. */
function remoteAddress(lock: string | undefined): string | null {
  return lock !== undefined && looksLikeAddress(lock) ? lock : null;
}

const longestPath = 4096;

function absolutePath(text: string): string | null {
  return isAbsolute(text) && text.length <= longestPath ? text : null;
}

function required<T>(env: Environment, variable: string, read: (text: string) => T | null): T {
  const text = env[variable];
  const hint = "call it in a command that `trainlock run` has started, or name a configuration and its --generation";
  if (text === undefined || text === "")
    throw new UsageError(`no claim to ask about: ${variable} is not set`, { code: "ERR_NO_CLAIM", hint });
  const value = read(text);
  if (value !== null) return value;
  throw new UsageError(`${variable} is ${JSON.stringify(text.slice(0, 100))}: \`run\` sets no such thing`, {
    code: "ERR_NO_CLAIM",
    hint,
  });
}
