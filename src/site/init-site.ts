import { closeSync, constants, openSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import { UsageError } from "../model/errors.ts";
import { keepToOwner, ownerOf, shareAsFolderAsks } from "../system/files/shared-permissions.ts";
import { asSystemError, isErrno } from "../system/libc/errno.ts";
import { siteFileTemplate } from "./initial-site-file.ts";
import type { Site } from "./open-site.ts";
import { rootFrom } from "./root.ts";
import { siteFileName } from "./site-config.ts";

/** Writes a commented site file in which nothing is in force yet. Returns its path. Never touches one that is there. */
export function initSite(site: Site, env: Readonly<Record<string, string | undefined>> = process.env): string {
  const file = site.config !== undefined ? resolve(site.config) : join(rootFrom(site.root, env), siteFileName);
  let fd: number;
  try {
    fd = openSync(file, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o644);
  } catch (error) {
    if (isErrno(error, "EEXIST"))
      throw new UsageError(`${file} is there already`, { hint: "edit it, or name another by --config" });
    throw asSystemError("write", file, error, ownerOf(join(file, "..")));
  }
  try {
    shareAsFolderAsks(fd, file);
    // What the file says of links and passwords counts only where nobody else may write it.
    keepToOwner(fd, file);
    writeSync(fd, siteFileTemplate);
  } catch (error) {
    throw asSystemError("write", file, error);
  } finally {
    closeSync(fd);
  }
  return file;
}
