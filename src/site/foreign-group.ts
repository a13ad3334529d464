import { declaredGroup } from "../system/files/shared-permissions.ts";
import { isMember } from "../system/processes/groups.ts";
import { thisHost } from "../system/processes/this-host.ts";
import type { Layout } from "./layout.ts";

/** What to know where the site's file names a group that this user cannot give to files; null where there is nothing to know. */
export function foreignGroup({ lockDir, site }: Layout): string | null {
  const gid = declaredGroup(lockDir);
  if (gid === null || isMember(gid) || process.geteuid?.() === 0) return null;
  return `\`group: ${site.group}\` of trainlock.yaml is not given to what you create: ${thisHost().user} is not in that group`;
}
