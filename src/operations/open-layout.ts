import { accessSync, constants, statSync } from "node:fs";
import { resolve } from "node:path";
import { EnvironmentError, UsageError } from "../model/errors.ts";
import { defaultLayout, type Layout } from "../model/layout.ts";
import { rootFrom } from "../model/root.ts";
import { asSystemError } from "../system/errno.ts";
import { ownerOf } from "../system/shared-permissions.ts";

export interface Site {
  readonly root?: string | undefined;
  readonly lockDir?: string | undefined;
}

/** The layout of a site. Throws a UsageError when nothing names the root, an EnvironmentError when it is not there. */
export function openLayout(site: Site, env: Readonly<Record<string, string | undefined>> = process.env): Layout {
  const root = rootFrom(site.root, env);
  requireFolder(root);
  if (site.lockDir === "") throw new UsageError("--lock-dir is empty", { hint: "name a folder" });
  return site.lockDir === undefined ? defaultLayout(root) : defaultLayout(root, resolve(site.lockDir));
}

function requireFolder(root: string): void {
  try {
    if (statSync(root).isDirectory()) {
      accessSync(root, constants.R_OK | constants.X_OK);
      return;
    }
  } catch (error) {
    throw asSystemError("use the root", root, error, ownerOf(root));
  }
  throw new EnvironmentError(`the root ${root} is not a folder`, {
    code: "ENOTDIR",
    hint: "give the shared folder as --root",
  });
}
