import type { DimensionValue, DimensionValues } from "./dimensions.ts";
import { isGeneration } from "./generation.ts";
import { type HostName, isHostName } from "./host-name.ts";
import { nameProblem } from "./names.ts";
import { isPid } from "./pid.ts";
import {
  anyText,
  either,
  type Field,
  finite,
  integer,
  lenient,
  listOf,
  matching,
  natural,
  number,
  objectOf,
  oneOf,
  orElse,
  orNull,
  plain,
  type Read,
  such,
  text,
  type ValuesOf,
  wrong,
} from "./record-fields.ts";
import { endFields } from "./run-ends.ts";

/** A record stays small, and a look at more hosts takes too long. */
export const mostHosts = 256;

const digits = matching(/^-?\d+(\.\d+)?$/);
/** The bash writer quotes its numbers. */
const numeric = either(number, (value) => {
  const found = digits(value);
  return found === wrong ? wrong : Number(found);
});
const ratio = such(numeric, (value) => value >= 0 && value <= 1);
const pid = such(numeric, isPid);
const idShape = matching(/^[A-Za-z0-9][A-Za-z0-9._[\]-]{0,127}$/);
/** Job ids may be numbers or names such as `123[4]` and `77.server`; anything else is no job id. */
const jobId: Read<string> = (value) => idShape(typeof value === "number" ? String(value) : value);
const hostName: Read<HostName> = (value) => (typeof value === "string" && isHostName(value) ? value : wrong);
/** What becomes part of a path: a record that holds anything else speaks of no configuration of ours. */
const name = such(anyText, (value) => nameProblem(value) === null);

const bigDigits = matching(/^\d{1,20}$/);
const largeNumber: Field<bigint> = {
  read: (value) => {
    const found = typeof value === "number" ? natural(value) : bigDigits(value);
    return found === wrong ? wrong : BigInt(found);
  },
  /** As a text where a number of JSON would not hold it exactly. */
  write: (value) => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : String(value)),
};

const dimensionName = matching(/^[a-z][a-z0-9_]{0,63}$/);
const dimensionValue: Read<DimensionValue> = either(
  such(finite, (value) => value >= 0),
  name,
);

const readDimensions: Read<DimensionValues> = (value) => {
  if (typeof value !== "object" || value === null) return wrong;
  const found: [string, DimensionValue][] = [];
  for (const [key, given] of Object.entries(value)) {
    const own = dimensionValue(given);
    if (dimensionName(key) === wrong || own === wrong) return wrong;
    found.push([key, own]);
  }
  return Object.fromEntries(found);
};

const dimensions: Field<DimensionValues> = {
  /** Absent in records of sites without dimensions, and of versions before them. */
  read: orElse(readDimensions, {}),
  write: (values) => (Object.keys(values).length === 0 ? undefined : values),
};

export const configuration = objectOf({
  strategy: plain(name),
  dataset: plain(name),
  model: plain(name),
  ratio: orNull(plain(ratio)),
  auxLoss: orNull(plain(name)),
  stage: orNull(plain(either<number, string>(natural, name))),
  dimensions,
});

const schedulerFields = {
  kind: plain(oneOf(["lsf", "slurm", "pbs", "sge"])),
  jobId: plain(jobId),
  arrayIndex: orNull(plain(matching(/^\d{1,9}$/))),
  /** Slurm: the id of the whole array, by which people name an element (`4700_12`, whose own id is 4711). */
  arrayJobId: { read: lenient(jobId), write: (id: string | null) => id ?? undefined },
  /** Ids are one cluster's own. Absent where the environment does not name it, and in older records; so are the next two. */
  cluster: {
    read: lenient(matching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/)),
    write: (name: string | null) => name ?? undefined,
  },
  /** When this run of it began, seconds since the epoch by its scheduler's word: hosts may be of different time zones. */
  startedAt: { read: lenient(natural), write: (seconds: number | null) => seconds ?? undefined },
  /** Slurm: the id of the step that it runs in, where that has one host alone. */
  oneHostStep: { read: lenient(matching(/^\d{1,10}$/)), write: (id: string | null) => id ?? undefined },
  /** Slurm: the other hosts of its job, on which it may have tasks. Absent where there are none, or none that are known. */
  otherHosts: {
    read: lenient(listOf(hostName, mostHosts)),
    write: (hosts: readonly HostName[] | null) => hosts ?? undefined,
  },
  /** How often the scheduler has requeued it: tells two runs of one job id apart. */
  restartCount: plain(orElse(natural, 0)),
  submittedAt: orNull(plain(text)),
};

const folderBeforeFields = {
  configuration,
  /** Nanoseconds since the epoch by the file server's clock. */
  untilNs: largeNumber,
};
const folderBefore = objectOf(folderBeforeFields);

const sectionFields = {
  format: plain(such(integer, (value) => value >= 1)),
  /** 128 random bits in hex: names one claim, whatever PIDs and inodes do. */
  token: orNull(plain(matching(/^[0-9a-f]{32}$/))),
  /** Null: what stands there is no number that can be counted on from. */
  generation: orNull(plain(such(number, isGeneration))),
  configuration: orNull(configuration),
  bootId: orNull(plain(matching(/^[0-9a-f-]{36}$/))),
  machineId: orNull(plain(matching(/^[0-9a-f]{16,64}$/))),
  /** Inode of the PID namespace the owner's PIDs belong to. */
  pidNamespace: orNull(plain(natural)),
  /** Field 22 of `/proc/PID/stat`: clock ticks from boot to the owner's start. */
  startTimeTicks: orNull(plain(natural)),
  scheduler: orNull(objectOf(schedulerFields)),
  childPid: orNull(plain(pid)),
  /** The same of the command; null in records of versions that did not write it. */
  childStartTimeTicks: orNull(plain(natural)),
  /** Program and options; the values of secrets are left out. */
  command: orNull<readonly string[]>({ read: listOf(anyText), write: boundedCommand }),
  weightsDir: orNull(plain(text)),
  /** Some network file systems use all 64 bits of it. */
  markerInode: orNull(largeNumber),
  /** When that marker was last written, nanoseconds since the epoch by the file server's clock. Absent in older records. */
  markerTimeNs: {
    read: lenient(largeNumber.read),
    write: (time: bigint | null) => (time === null ? undefined : largeNumber.write(time)),
  },
  /** The lock file that its owner locked: one that was made after an unlink proves nothing about that owner. 0: it locked none. */
  lockInode: orNull(largeNumber),
  releasedAt: orNull(plain(text)),
  exitCode: orNull(plain(integer)),
  /** Null in records of versions that did not count. */
  ends: orNull(objectOf(endFields)),
  /** Who had the weights dir before this configuration; null: nobody else, as far as is known. */
  folderBefore: {
    read: lenient(folderBefore.read),
    write: (before: FolderBefore | null) => (before === null ? undefined : folderBefore.write(before)),
  },
};

const section = objectOf(sectionFields);

const recordFields = {
  strategy: orNull(plain(text)),
  dataset: orNull(plain(text)),
  model: orNull(plain(text)),
  ratio: orNull(plain(such(numeric, Number.isFinite))),
  auxLoss: orNull(plain(text)),
  jobId: {
    read: (value: unknown) => {
      const id = lenient(jobId)(value);
      return id === "unknown" ? null : id;
    },
    write: (id: string | null) => id ?? "unknown",
  },
  hostname: orNull(plain(text)),
  pid: orNull(plain(pid)),
  user: orNull(plain(text)),
  /** `started` is what the bash writer calls it. */
  acquiredAt: { ...orNull(plain(text)), olderKey: "started" },
  /** What trainlock adds to the keys that the older writers use. Null for the older writers. */
  trainlock: {
    read: lenient(section.read),
    write: (own: ValuesOf<typeof sectionFields> | null) => (own === null ? undefined : section.write(own)),
  },
};

/**
 * The one description of an owner record: its type, how it is read and how it is written follow from it. The older writers' keys
 * come first, so that their readers keep working.
 */
export const ownerRecord = objectOf(recordFields);

/** Where a job runs, as its scheduler's environment names it. */
export type SchedulerJob = ValuesOf<typeof schedulerFields>;
/** Another configuration that has used the same weights dir. What was there until then is not this one's. */
export type FolderBefore = ValuesOf<typeof folderBeforeFields>;
export type TrainlockSection = ValuesOf<typeof sectionFields>;
/** Who holds or last held a lock. Every field may be absent: old writers know less, and files lie. */
export type OwnerRecord = ValuesOf<typeof recordFields>;

/** A command line may be megabytes; a record that its own reader would refuse is worse than a shortened one. */
function boundedCommand(command: readonly string[]): readonly string[] {
  const longest = 8 * 1024;
  let left = longest;
  const kept: string[] = [];
  for (const argument of command) {
    if (left < argument.length + 8) return [...kept, "…"];
    kept.push(argument);
    left -= argument.length + 8;
  }
  return kept;
}
