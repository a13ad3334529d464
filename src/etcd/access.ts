import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { EnvironmentError, UsageError } from "../model/errors.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { asSystemError, systemError } from "../system/libc/errno.ts";
import type { EtcdAccess } from "./address.ts";

/** What a site's file says about its store: paths of PEM files, a user's name, a file with its password. */
export interface DeclaredAccess {
  readonly ca: string | null;
  readonly cert: string | null;
  readonly key: string | null;
  readonly user: string | null;
  readonly passwordFile: string | null;
}

const largestPasswordBytes = 4096;

/**
 * How to speak to the store: TRAINLOCK_STORE_CA, _CERT, _KEY, _USER and _PASSWORD or _PASSWORD_FILE of the environment, each
 * before what the site's file declares. An empty variable is none. Throws a UsageError for halves (a certificate without its
 * key, a user without a password), an EnvironmentError for a password that others can read.
 */
export function etcdAccess(env: NodeJS.ProcessEnv, declared: Partial<DeclaredAccess> = {}): EtcdAccess {
  const given = (name: string) => env[`TRAINLOCK_STORE_${name}`] || null;
  const path = (name: string, otherwise: string | null | undefined) => {
    const value = given(name) ?? otherwise ?? null;
    return value === null ? null : resolve(value);
  };
  const caFile = path("CA", declared.ca);
  const certFile = path("CERT", declared.cert);
  const keyFile = path("KEY", declared.key);
  const user = given("USER") ?? declared.user ?? null;
  if ((certFile === null) !== (keyFile === null)) {
    throw new UsageError(
      certFile === null
        ? `a key for the store without its certificate: ${keyFile}`
        : `a certificate for the store without its key: ${certFile}`,
      { hint: "set both TRAINLOCK_STORE_CERT and TRAINLOCK_STORE_KEY" },
    );
  }
  const passwordFile = path("PASSWORD_FILE", declared.passwordFile);
  const password = given("PASSWORD") ?? (user === null || passwordFile === null ? null : passwordIn(passwordFile));
  if (user !== null && password === null) {
    throw new UsageError(`no password for the store's user ${JSON.stringify(user)}`, {
      hint: "set TRAINLOCK_STORE_PASSWORD_FILE, or TRAINLOCK_STORE_PASSWORD",
    });
  }
  if (user === null && (password ?? passwordFile) !== null) {
    throw new UsageError("a password for the store, but no user", { hint: "set TRAINLOCK_STORE_USER" });
  }
  return { caFile, certFile, keyFile, user, password };
}

/** The text of a file without its last newline. Its group may read it, where a team shares a user; others may not. */
function passwordIn(path: string): string {
  let real: string;
  try {
    // Mounted secrets are links to the version in force.
    real = realpathSync(path);
  } catch (error) {
    throw asSystemError("read the store's password in", path, error);
  }
  const reading = readRegularFile(real, largestPasswordBytes);
  if (reading.kind === "absent") throw systemError("read the store's password in", path, "ENOENT");
  if (reading.kind === "failed") throw asSystemError("read the store's password in", path, reading.error);
  if (reading.kind === "unreadable") {
    throw new UsageError(`the store's password file ${path} is ${reading.why}`, {
      hint: "name a regular file with the password alone",
    });
  }
  if ((Number(reading.stats.mode) & 0o007) !== 0) {
    throw new EnvironmentError(`others may read the store's password in ${path}`, {
      code: "ERR_PASSWORD_EXPOSED",
      hint: `chmod o-rwx ${path}, and change the password`,
    });
  }
  const password = reading.bytes.toString("utf8").replace(/\r?\n$/, "");
  if (password === "" || reading.bytes.length > largestPasswordBytes) {
    throw new UsageError(`no password in ${path}: it is ${password === "" ? "empty" : "too long"}`, {
      hint: "write the password into it",
    });
  }
  return password;
}
