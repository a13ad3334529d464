import { join } from "node:path";
import { type Finding, fault, type Outcome, ok, warning } from "../model/finding.ts";
import { type Layout, markerName } from "../site/layout.ts";
import { type SiteProof, settledMount, siteProofName } from "../site/lock-scope.ts";
import { weightsFolders, weightsFoldersHolding } from "../site/weights-folders.ts";
import { findMount, mountTable } from "../system/files/mount-table.ts";
import { mountOf } from "../system/files/mounts.ts";
import { nearestExisting } from "../system/files/nearest-existing.ts";
import { canWriteIn, makeSharedFolder, ownerOf } from "../system/files/shared-permissions.ts";
import { sweepUnfinished, writeByRename } from "../system/files/write-by-rename.ts";
import { thisHost } from "../system/processes/this-host.ts";
import { askChild } from "./ask-child.ts";
import { groupFindings } from "./group-checks.ts";
import { refusingHost, tryHost } from "./host-checks.ts";
import { looseWorkers } from "./loose-workers.ts";
import { probes, weightsProbeNames } from "./probes.ts";
import { remoteShell } from "./remote-shell.ts";
import { schedulerFindings } from "./scheduler-checks.ts";

export { allocationOf, otherHostsOf } from "./allocation.ts";
export { copyFindings } from "./copies.ts";
export { openInTime } from "./open-in-time.ts";

export interface DoctorRequest {
  readonly layout: Layout;
  readonly hosts: readonly string[];
  /** For each question to a file system, and to a host. */
  readonly timeoutMs: number;
  readonly onFinding: (finding: Finding) => void;
}

/** Finds out whether locks work here. Every finding is told as it is made; what was proved is kept in the lock dir. */
export async function examineSite(request: DoctorRequest): Promise<readonly Finding[]> {
  const { layout, hosts, timeoutMs, onFinding } = request;
  const findings: Finding[] = [];
  const tell = (check: string, subject: string, outcome: Outcome) => {
    const finding = { check, subject, ...outcome };
    findings.push(finding);
    onFinding(finding);
  };
  if (layout.store !== null) {
    const { openCluster } = await import("../stores/lease/remote-store.ts");
    const { examineCluster } = await import("./etcd-checks.ts");
    const { client, address } = openCluster(layout.store);
    await examineCluster({ client, prefix: address.prefix, ttlMs: layout.store.ttlMs, timeoutMs }, tell);
    // Nothing is locked on the file system then.
    if (layout.store.alsoMarker === false) return findings;
  }
  // A proof needs its place.
  if (hosts.length > 0) makeSharedFolder(layout.lockDir);
  // Nothing is created that was not there: the folder above is on the same mount, or will be asked when it is.
  const lockPlace = nearestExisting(layout.lockDir).path;
  // By the mount alone: what was proved earlier is to be tried again.
  const mount = mountOf(lockPlace);
  const locks = mount.lockScope !== "none";
  await probeFolder(lockPlace, locks ? Object.keys(probes) : [...weightsProbeNames, "clock"], timeoutMs, tell);
  const tops = new Set(layout.weightsTrees.map(({ top }) => nearestExisting(top).path));
  tops.delete(lockPlace);
  for (const top of tops) await probeFolder(top, weightsProbeNames, timeoutMs, tell);
  for (const { subject, outcome } of groupFindings(layout, [lockPlace, ...tops])) tell("group", subject, outcome);
  await tellLinks(layout, tell);
  for (const { subject, outcome } of await looseWorkers(layout)) tell("workers", subject, outcome);
  tell("PID namespace", thisHost().hostname, pidNamespaceOutcome());
  for (const { check, subject, outcome } of await schedulerFindings(layout.site, hosts)) tell(check, subject, outcome);
  if (hosts.length > 0 && !locks) {
    const means = "the marker alone excludes between hosts, and is not tried by doctor";
    tell("locks between hosts", lockPlace, warning("there are no kernel locks to try", means));
  } else if (hosts.length > 0 && mount.shared !== false && findings.some((finding) => isRefusal(finding, lockPlace)))
    await proveRefusal(request, lockPlace, tell);
  else if (hosts.length > 0 && !findings.some(({ level, subject }) => level === "fault" && subject === lockPlace))
    await proveHosts(request, lockPlace, tell);
  return findings;
}

/** For a folder of somebody else. */
const shareIt = "its owner can: chgrp to the group, and chmod g+rwxs";

/** Links where folders of configurations belong: nothing that trains behind them is seen. */
async function tellLinks(layout: Layout, tell: Tell): Promise<void> {
  const links: string[] = [];
  const followed: string[] = [];
  const refused = new Map<string, string>();
  await weightsFolders(layout, {
    onUnreadable: (path, why) => refused.set(path, why),
    onLink: (path) => links.push(path),
    onFollowed: (path) => followed.push(path),
  });
  const means = "it is not followed: locks behind it are not listed";
  const remedy = "mount that folder in its place, or allow it: `links: [FOLDER]` in trainlock.yaml";
  for (const path of links) tell("link", path, warning("a symbolic link where a folder belongs", means, remedy));
  for (const path of followed) {
    const { fileSystem, lockScope } = mountOf(path);
    const found = `leads to ${nearestExisting(path).real}, on ${fileSystem} (lock scope ${lockScope})`;
    if (canWriteIn(path)) tell("link", path, ok(found));
    else
      tell("link", path, fault(`${found}; ${ownerOf(path)}`, "you cannot train there: run ends with exit 3", shareIt));
  }
  // The folders of configurations themselves are looked into by this walk alone.
  await weightsFoldersHolding(layout, markerName, {
    onUnreadable: (path, why) => refused.set(path, why),
    onLink: () => undefined,
  });
  if (layout.links.length === 0) {
    const closes = "what trains there is not seen: list, plan and clear exit 3";
    for (const [path, why] of refused) tell("folder", path, fault(`${why} (${ownerOf(path)})`, closes, shareIt));
    return;
  }
  const unseen = "trainings there are not seen, or not distinguished";
  for (const [path, why] of refused)
    tell("link", path, warning(why, unseen, "see links in trainlock help site-configuration"));
}

type Tell = (check: string, subject: string, outcome: Outcome) => void;

/**
 * All at once: a file system that hangs, hangs each of them, and costs one time limit. What keeps several from being tried is
 * told once.
 */
async function probeFolder(folder: string, names: readonly string[], timeoutMs: number, tell: Tell): Promise<void> {
  const outcomes = await Promise.all(names.map((name) => askChild(name, folder, timeoutMs)));
  const causes = outcomes.map((outcome) => (outcome.level === "ok" ? null : JSON.stringify(outcome)));
  for (const [index, outcome] of outcomes.entries()) {
    const cause = causes[index] ?? null;
    if (cause !== null && causes.indexOf(cause) < index) continue;
    const also = names.filter((_, other) => other > index && cause !== null && causes[other] === cause);
    const found = also.length > 0 ? `${outcome.found} (the same: ${also.join(", ")})` : outcome.found;
    tell(names[index] ?? "", folder, { ...outcome, found });
  }
}

function pidNamespaceOutcome(): Outcome {
  if (thisHost().inInitialPidNamespace) return ok("the initial one: PIDs mean the same to every process of this host");
  const means = "PIDs of processes outside are not visible: their bare markers are UNKNOWN - other container";
  return warning(
    "a container's own",
    means,
    "share the PID namespace (docker run --pid=host), or let all jobs use trainlock run",
  );
}

async function proveHosts({ layout, hosts, timeoutMs }: DoctorRequest, lockPlace: string, tell: Tell): Promise<void> {
  const primitive = layout.site.lockPrimitive;
  const trials = [];
  for (const host of hosts) {
    const shell = remoteShell(host, layout.site);
    if (shell === null) {
      tell("host", host, fault(`${JSON.stringify(host)} is not a host name`, "it cannot be asked", "such as node01"));
      continue;
    }
    const trial = await tryHost(shell, lockPlace, primitive, timeoutMs);
    tell("host", host, trial.reach);
    if (trial.locks !== null) tell("locks between hosts", host, trial.locks);
    if (trial.proved !== null) trials.push(trial.proved);
  }
  const others = trials.filter(({ host }) => host.boot_id !== thisHost().bootId);
  const scope = others.every(({ excludes }) => excludes) ? "cluster" : "host";
  const proved = others.map(({ host }) => host);
  if (others.length > 0 && lockPlace === layout.lockDir) keepProof(layout, scope, proved, tell);
}

function isRefusal({ check, subject, level, found }: Finding, lockPlace: string): boolean {
  return (
    check === "flock between descriptors" &&
    subject === lockPlace &&
    level === "fault" &&
    /\b(ENOSYS|EOPNOTSUPP)\b/.test(found)
  );
}

/** The file system has no kernel locks although its mount does not say so: where all hosts agree, the marker alone will do. */
async function proveRefusal({ layout, hosts, timeoutMs }: DoctorRequest, lockPlace: string, tell: Tell): Promise<void> {
  const refusing = [];
  for (const host of hosts) {
    const shell = remoteShell(host, layout.site);
    const refused = shell === null ? null : await refusingHost(shell, lockPlace, timeoutMs);
    const means = "the marker alone excludes between hosts";
    const remedy = "mount it in the same way on all hosts";
    tell(
      "locks between hosts",
      host,
      refused !== null
        ? warning("refuses kernel locks as this host does", means)
        : fault("is not known to refuse kernel locks as this host does", "nothing is proved", remedy),
    );
    if (refused !== null) refusing.push(refused);
  }
  const others = refusing.filter(({ boot_id }) => boot_id !== thisHost().bootId);
  if (refusing.length === hosts.length && others.length > 0 && lockPlace === layout.lockDir)
    keepProof(layout, "none", others, tell);
}

function keepProof(layout: Layout, scope: SiteProof["scope"], others: SiteProof["hosts"], tell: Tell): void {
  const lockPlace = layout.lockDir;
  const hosts = [hereOn(lockPlace), ...others];
  const proof: SiteProof = { format: 1, scope, proved_at: new Date().toISOString(), hosts };
  const path = join(layout.lockDir, siteProofName);
  writeByRename(path, Buffer.from(`${JSON.stringify(proof, null, 2)}\n`));
  sweepUnfinished(path);
  const { lockScope, why } = settledMount(lockPlace, mountOf(lockPlace));
  tell(
    "proof",
    path,
    lockScope === proof.scope
      ? ok(`lock scope ${lockScope}; ${why}`)
      : warning("not believed", "its owner is not this user"),
  );
}

function hereOn(folder: string): SiteProof["hosts"][number] {
  const { hostname, bootId } = thisHost();
  const mount = mountOf(folder);
  const source = findMount(mountTable(), folder, null)?.source ?? "unknown";
  return { hostname, boot_id: bootId ?? "", mount_id: mount.mountId, file_system: mount.fileSystem, source };
}
