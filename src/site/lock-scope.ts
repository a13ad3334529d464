import { lstatSync } from "node:fs";
import { dirname, join } from "node:path";
import { sameHost } from "../model/host-name.ts";
import { parseJson } from "../model/parse-json.ts";
import { anyText, listOf, matching, number, objectOf, oneOf, plain, wrong } from "../model/record-fields.ts";
import type { MountFacts } from "../system/files/mounts.ts";
import { readRegularFile } from "../system/files/read-regular-file.ts";
import { thisHost } from "../system/processes/this-host.ts";

export const siteProofName = ".site.json";

/** A host that took part, and the mount it did so on: another boot or another mount, and it proves nothing any more. */
export interface ProvedHost {
  readonly hostname: string;
  readonly boot_id: string;
  readonly mount_id: number;
  readonly file_system: string;
  readonly source: string;
}

/**
 * What `doctor --hosts` found out by locking: whether kernel locks in this folder reach from each host to each; `none`: that each
 * refuses them.
 */
export interface SiteProof {
  readonly format: 1;
  readonly scope: "cluster" | "host" | "none";
  /** ISO time with zone. */
  readonly proved_at: string;
  readonly hosts: readonly ProvedHost[];
}

const provedHost = objectOf({
  hostname: plain(anyText),
  boot_id: plain(matching(/^[0-9a-f-]{36}$/)),
  mount_id: plain(number),
  file_system: plain(anyText),
  source: plain(anyText),
});

const siteProof = objectOf({
  format: plain(oneOf([1])),
  scope: plain(oneOf(["cluster", "host", "none"])),
  proved_at: plain(anyText),
  hosts: plain(listOf(provedHost.read)),
});

/** Mount facts, and the proof that they rest on; null: they are what the kind of file system says. */
export type SettledMount = MountFacts & { readonly proof: SiteProof | null };

/** Null where there is none, or none to be believed: only this user, root or the folder's owner can have proved anything. */
export function readSiteProof(lockDir: string): SiteProof | null {
  const path = join(lockDir, siteProofName);
  const file = readRegularFile(path, 64 * 1024);
  if (file.kind !== "file") return null;
  const folder = lstatSync(dirname(path), { throwIfNoEntry: false });
  if (![0, thisHost().uid, folder?.uid].includes(Number(file.stats.uid))) return null;
  const proof = siteProof.read(parseJson(file.bytes.toString("utf8")));
  return proof === wrong ? null : proof;
}

/**
 * The mount of a lock dir with what was proved about it in place of what is known of its kind: on the hosts that took part,
 * as long as they have not booted and the mount is the same.
 */
export function settledMount(lockDir: string, mount: MountFacts): SettledMount {
  if (mount.shared === false || mount.lockScope === "none") return { ...mount, proof: null };
  const proof = readSiteProof(lockDir);
  if (proof === null || !proof.hosts.some((host) => isHere(host, mount))) return { ...mount, proof: null };
  // What holds by the kind of file system holds for every host, not only for those that took part.
  if (proof.scope === mount.lockScope) return { ...mount, proof: null };
  const hosts = proof.hosts.map(({ hostname }) => hostname).join(", ");
  const how = { cluster: "to reach each other", host: "to stay on each", none: "to be refused" }[proof.scope];
  return { ...mount, lockScope: proof.scope, why: `tried on ${hosts}, its locks were found ${how}`, proof };
}

/** Whether a proof speaks of an owner on this host. */
export function provesFor(proof: SiteProof | null, hostname: string | null): boolean {
  return proof === null || (hostname !== null && proof.hosts.some((host) => sameHost(host.hostname, hostname)));
}

function isHere(host: ProvedHost, mount: MountFacts): boolean {
  return host.boot_id === thisHost().bootId && host.mount_id === mount.mountId && host.file_system === mount.fileSystem;
}
