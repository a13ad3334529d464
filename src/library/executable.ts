import { fileURLToPath } from "node:url";
import { EnvironmentError } from "../model/errors.ts";
import { canBeStarted, filesOnPath } from "../system/processes/on-path.ts";

const binVariable = "TRAINLOCK_BIN";

/** TRAINLOCK_BIN, else the executable of this package, else the one in PATH. Throws an EnvironmentError where there is none. */
export function executable(): string {
  const named = process.env[binVariable] ?? "";
  if (named !== "") return named;
  const beside = fileURLToPath(new URL("../../trainlock", import.meta.url));
  const found = [beside, ...filesOnPath("trainlock")].find(canBeStarted);
  if (found !== undefined) return found;
  throw new EnvironmentError(`there is no executable trainlock, neither ${beside} nor in PATH`, {
    code: "ERR_NO_EXECUTABLE",
    hint: `install the executable of the same version, or name it by ${binVariable}`,
  });
}
