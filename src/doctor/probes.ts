import { TrainlockError } from "../model/errors.ts";
import { fault, type Outcome } from "../model/finding.ts";
import { asSystemError } from "../system/libc/errno.ts";
import { createProbe, exchangeProbe, exclusiveProbe, linkProbe, renameProbe } from "./probe-files.ts";
import { descriptorsProbe, primitiveProbe, processesProbe } from "./probe-locks.ts";
import { clockProbe, fileSystemProbe, granularityProbe, spaceProbe } from "./probe-mount.ts";

/** A question to the file system under one folder. Runs in a process of its own, which may hang or be killed. */
export type Probe = (folder: string) => Outcome | Promise<Outcome>;

/** By what they are called in the table, in its order. */
export const probes: Readonly<Record<string, Probe>> = {
  "file system": fileSystemProbe,
  create: createProbe,
  "exclusive create": exclusiveProbe,
  link: linkProbe,
  rename: renameProbe,
  exchange: exchangeProbe,
  "flock between descriptors": descriptorsProbe,
  "flock between processes": processesProbe,
  "byte-range lock": primitiveProbe,
  "time stamps": granularityProbe,
  clock: clockProbe,
  space: spaceProbe,
};

/** What does not need a kernel lock to be of use, for folders where none are taken. */
export const weightsProbeNames = [
  "file system",
  "create",
  "exclusive create",
  "link",
  "rename",
  "exchange",
  "time stamps",
  "space",
] as const;

/** Runs one probe here. A failure is a finding. */
export async function probeHere(name: string, folder: string): Promise<Outcome> {
  const probe = probes[name];
  if (probe === undefined) return fault(`no such probe: ${name}`, "this is a defect of trainlock");
  try {
    return await probe(folder);
  } catch (error) {
    const known = asSystemError("work in", folder, error);
    if (!(known instanceof TrainlockError)) throw error;
    return fault(known.message, "trainlock run would end here with exit 3", known.hint ?? null);
  }
}
