import { EnvironmentError } from "../../model/errors.ts";

/** Where the folders of a site may lie. */
export interface Bounds {
  readonly root: string;
  /** Folders that links below the root may lead into. */
  readonly links: readonly string[];
}

const outsideCode = "ERR_OUTSIDE_ROOT";
const refusedCode = "ERR_LINK_REFUSED";

/** Whether a path leads where the site's folders may not lie. */
export function isOutsideRoot(error: unknown): boolean {
  return error instanceof EnvironmentError && (error.code === outsideCode || error.code === refusedCode);
}

export function outsideRoot(root: string, path: string): EnvironmentError {
  return new EnvironmentError(`${path} leads out of the root ${root}: a folder on the way is a symbolic link`, {
    code: outsideCode,
    hint: "remove the link, mount that folder in its place, or allow where it leads by `links:` in trainlock.yaml",
  });
}

export function refusedLink(link: string, why: string): EnvironmentError {
  return new EnvironmentError(`the link ${link} is not followed: ${why}`, {
    code: refusedCode,
    hint: "link and folders have to be root's, yours, the root owner's, or all of one user (trainlock help site-configuration)",
  });
}
