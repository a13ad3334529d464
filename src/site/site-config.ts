import type { Dimension } from "../model/dimensions.ts";
import type { HostName } from "../model/host-name.ts";
import type { LockPrimitive } from "../system/libc/flock.ts";
import type { DoneDeclaration } from "./done-declaration.ts";
import type { ProgressDeclaration } from "./progress-declaration.ts";
import type { StoreDeclaration } from "./store-settings.ts";
import type { Template } from "./template.ts";
import type { YamlValue } from "./yaml-reader.ts";

export const schedulers = ["auto", "lsf", "slurm", "pbs", "sge", "none"] as const;
export type SchedulerChoice = (typeof schedulers)[number];

/** How this site's hosts are reached by ssh(1). A closed set: a file in a shared folder must not name programs to run. */
export interface SshSettings {
  readonly user: string | null;
  readonly port: number | null;
  /** Host that leads to the others, `ssh -J`. */
  readonly jumpHost: HostName | null;
}

export interface SiteTimeouts {
  /** For one question to the file system, in a process of its own. */
  readonly probeMs: number;
  /** For one host. */
  readonly sshMs: number;
  /** For one answer of the scheduler. */
  readonly schedulerMs: number;
}

/** The value of `grid:`: blocks, or the path of a grid file. */
export interface DeclaredGrid {
  /** The site's file. */
  readonly file: string;
  readonly value: YamlValue;
}

/** What `trainlock.yaml` declares. Null, or an empty list: not declared. */
export interface SiteConfig {
  readonly lockDir: string | null;
  /** All there are, as they are spelled; null: any. */
  readonly strategies: readonly string[] | null;
  readonly models: readonly string[] | null;
  readonly datasets: readonly string[] | null;
  readonly dimensions: readonly Dimension[];
  readonly weights: readonly Template[];
  /** Folders that links below the root may lead into. */
  readonly links: readonly string[];
  /** What shows a configuration to be trained, where its template says nothing. */
  readonly done: DoneDeclaration | null;
  /** Patterns of what a training can resume from, where its template says nothing. */
  readonly checkpoint: readonly string[];
  /** The grid of the site as it is written, which `grid/` reads; null: none is declared. */
  readonly grid: DeclaredGrid | null;
  readonly lockPrimitive: LockPrimitive;
  /** Group name or number that everything trainlock creates gets. */
  readonly group: string | number | null;
  /** Permission bits of the files it creates. */
  readonly mode: number | null;
  readonly hosts: readonly HostName[];
  readonly scheduler: SchedulerChoice;
  readonly ssh: SshSettings;
  readonly timeouts: SiteTimeouts;
  readonly store: StoreDeclaration | null;
  readonly progress: ProgressDeclaration | null;
  /** Whether owner records tell the command, without the values of secrets. */
  readonly recordsCommand: boolean;
  /** Whether events are noted in the lock dir. */
  readonly history: boolean;
  /** For how long a requeued job waits to learn what has become of its last run, milliseconds. */
  readonly requeueWaitMs: number;
  /** How many failed runs make a row of a grid `failed`, where its block does not say. */
  readonly maxAttempts: number;
  /** The line on which each setting stands, by its key: `timeouts.ssh`. */
  readonly lines: Readonly<Record<string, number>>;
}

export const emptySiteConfig: SiteConfig = {
  lockDir: null,
  strategies: null,
  models: null,
  datasets: null,
  dimensions: [],
  weights: [],
  links: [],
  done: null,
  checkpoint: [],
  grid: null,
  lockPrimitive: "flock",
  group: null,
  mode: null,
  hosts: [],
  scheduler: "auto",
  ssh: { user: null, port: null, jumpHost: null },
  timeouts: { probeMs: 10_000, sshMs: 5_000, schedulerMs: 10_000 },
  store: null,
  progress: null,
  recordsCommand: true,
  history: true,
  requeueWaitMs: 600_000,
  maxAttempts: 1,
  lines: {},
};

export const siteFileName = "trainlock.yaml";
