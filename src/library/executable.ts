import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { EnvironmentError } from "../model/errors.ts";
import { canBeStarted, filesOnPath } from "../system/processes/on-path.ts";

const binVariable = "TRAINLOCK_BIN";
const packageName = `@trainlock/linux-${process.arch}`;

/**
 * TRAINLOCK_BIN, else the executable of this package or of the package for this processor that npm has installed with it, else
 * the one in PATH. Throws an EnvironmentError where there is none.
 */
export function executable(): string {
  const named = process.env[binVariable] ?? "";
  if (named !== "") return named;
  const beside = fileURLToPath(new URL("../../trainlock", import.meta.url));
  const found = [beside, ...ofProcessor(), ...filesOnPath("trainlock")].find(canBeStarted);
  if (found !== undefined) return found;
  throw new EnvironmentError(`there is no executable trainlock, neither ${beside} nor ${packageName} nor in PATH`, {
    code: "ERR_NO_EXECUTABLE",
    hint: `install the executable of the same version, or name it by ${binVariable}`,
  });
}

/** None where the package is not installed. */
function ofProcessor(): string[] {
  try {
    return [createRequire(import.meta.url).resolve(`${packageName}/trainlock`)];
  } catch {
    return [];
  }
}
