import { isAbsolute, relative } from "node:path";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { EnvironmentError } from "../model/errors.ts";
import {
  configurationOf,
  type FolderBefore,
  namesAnother,
  type RecordReading,
  sameConfiguration,
} from "../model/owner-record.ts";
import { templatesOf } from "../site/declared-layout.ts";
import { type Layout, markerRecordName } from "../site/layout.ts";
import { partingTemplate } from "../site/parting-template.ts";
import { requireMarkerRecord } from "../stores/folder/read-marker.ts";
import { type FoundDoneFile, readDoneFile } from "./done-file.ts";
import type { DoneRule } from "./done-rule.ts";
import { type MatchingFile, matchingFiles } from "./matching-files.ts";

/** Whether the done rule holds. It counts only while nobody holds the configuration: the caller looks at the locks after this. */
export type DoneFinding =
  | { readonly kind: "not done" }
  /** The file that shows it: the done file's name, or a checkpoint's path. */
  | { readonly kind: "done"; readonly path: string }
  /** The rule would hold by what another configuration has left in the same weights dir. */
  | { readonly kind: "another's"; readonly error: EnvironmentError };

const notDone: DoneFinding = { kind: "not done" };

/**
 * Looks whether the done rule holds for a configuration. Changes nothing. Throws an EnvironmentError where the files that show
 * it cannot be looked at.
 */
export async function findDone(layout: Layout, configuration: Configuration, rule: DoneRule): Promise<DoneFinding> {
  return lookForDone(layout, configuration, rule, null);
}

/** The same of a folder that was just looked into; at once unless a pattern has to walk through folders. */
export function lookForDone(
  layout: Layout,
  configuration: Configuration,
  rule: DoneRule,
  seen: FolderSeen | null,
): DoneFinding | Promise<DoneFinding> {
  const weightsDir = seen?.weightsDir ?? layout.weightsDir(configuration);
  const mayHaveFile = rule.file !== null && (seen === null || seen.names.includes(rule.file));
  const file = rule.file === null || !mayHaveFile ? null : readDoneFile(weightsDir, rule.file);
  const judge = (shown: readonly Proof[]) => judged(layout, configuration, shown, file, seen);
  if (file !== null && rule.file !== null && countsByItself(file, rule.patterns))
    return judge([doneFileAsProof(rule.file, file)]);
  const found = filesOf(weightsDir, rule.patterns, seen?.names);
  const proofs = (files: readonly MatchingFile[]) => judge(largeEnough(files, rule));
  return found instanceof Promise ? found.then(proofs) : proofs(found);
}

/** What somebody has just seen in the weights dir, so that it is looked at once. */
export interface FolderSeen {
  readonly weightsDir: string;
  readonly names: readonly string[];
  /** Reads the record beside the marker. */
  readonly record: () => RecordReading;
}

/** The same by the rule's patterns alone. */
export async function findCheckpoint(
  layout: Layout,
  configuration: Configuration,
  rule: Pick<DoneRule, "patterns" | "smallestBytes">,
): Promise<DoneFinding> {
  const found = await filesOf(layout.weightsDir(configuration), rule.patterns);
  return judged(layout, configuration, largeEnough(found, rule), null, null);
}

function judged(
  layout: Layout,
  configuration: Configuration,
  shown: readonly Proof[],
  file: FoundDoneFile | null,
  seen: FolderSeen | null,
): DoneFinding {
  if (shown.length === 0) return notDone;
  const owners = new FolderOwners(layout, configuration, file, seen);
  const own = shown.find((proof) => owners.ownerOf(proof) === null);
  if (own !== undefined) return { kind: "done", path: own.path };
  const [first] = shown;
  const another = first === undefined ? null : owners.ownerOf(first);
  if (first === undefined || another === null) return notDone;
  return { kind: "another's", error: sharedFolder(layout, configuration, another, first.path) };
}

/** A file that shows a training to be done, and what it says of itself. */
interface Proof {
  readonly path: string;
  readonly modifiedNs: bigint;
  /** It names the configuration that it is of. */
  readonly isNamed: boolean;
}

/** After a change of `when` the file is of another training. One that names no `when` was not written by `run` as it is now. */
function countsByItself({ when }: FoundDoneFile, patterns: readonly string[]): boolean {
  if (patterns.length === 0 || when === null) return true;
  return when.length === patterns.length && when.every((pattern) => patterns.includes(pattern));
}

function doneFileAsProof(name: string, { configuration, modifiedNs }: FoundDoneFile): Proof {
  return { path: name, modifiedNs, isNamed: configuration !== null };
}

/** What the patterns of a rule name, one after the other. */
function filesOf(
  weightsDir: string,
  [pattern, ...others]: readonly string[],
  names?: readonly string[],
): readonly MatchingFile[] | Promise<readonly MatchingFile[]> {
  if (pattern === undefined) return noFiles;
  const found = matchingFiles(weightsDir, pattern, { names });
  if (found instanceof Promise)
    return found.then(async (files) => [...files, ...(await filesOf(weightsDir, others, names))]);
  if (others.length === 0) return found;
  const rest = filesOf(weightsDir, others, names);
  return rest instanceof Promise ? rest.then((files) => [...found, ...files]) : [...found, ...rest];
}

const noFiles: readonly MatchingFile[] = [];
const noProofs: readonly Proof[] = [];

function largeEnough(
  files: readonly MatchingFile[],
  { smallestBytes }: Pick<DoneRule, "smallestBytes">,
): readonly Proof[] {
  if (files.length === 0) return noProofs;
  return files
    .filter(({ bytes }) => bytes >= smallestBytes)
    .map(({ path, modifiedNs }) => ({ path, modifiedNs, isNamed: false }));
}

/** Whose files lie in a weights dir, by its done file and by the owner record of its last claim. */
class FolderOwners {
  readonly #layout: Layout;
  readonly #mine: Configuration;
  /** The configuration that the done file names, where that is another. */
  readonly #named: Configuration | null;
  /** The configuration of the last claim, where that is another. */
  readonly #last: Configuration | null;
  readonly #before: FolderBefore | null;

  constructor(layout: Layout, mine: Configuration, file: FoundDoneFile | null, seen: FolderSeen | null) {
    this.#layout = layout;
    this.#mine = mine;
    const named = file?.configuration ?? null;
    this.#named = named === null || sameConfiguration(named, mine) ? null : named;
    const reading = seen?.record() ?? requireMarkerRecord(layout.weightsDir(mine));
    const record = reading.kind === "record" ? reading.record : null;
    this.#last = record !== null && namesAnother(record, mine) ? configurationOf(record) : null;
    this.#before = record?.trainlock?.folderBefore ?? null;
  }

  /** The other configuration that a file may be of; null: it is ours. */
  ownerOf({ modifiedNs, isNamed }: Proof): Configuration | null {
    if (this.#named !== null) return this.#named;
    const isOld = this.#before !== null && modifiedNs <= this.#before.untilNs;
    if (this.#last !== null) {
      // Parted since: what was there before the other one came is still ours.
      const wasOurs = isOld && this.#before !== null && sameConfiguration(this.#before.configuration, this.#mine);
      return wasOurs && !this.#sharesFolder(this.#last) ? null : this.#last;
    }
    return isOld && !isNamed ? (this.#before?.configuration ?? null) : null;
  }

  #sharesFolder(other: Configuration): boolean {
    return sharesFolder(this.#layout, other, this.#mine);
  }
}

function sharesFolder(layout: Layout, first: Configuration, second: Configuration): boolean {
  try {
    return layout.weightsDir(first) === layout.weightsDir(second);
  } catch {
    // No template is for it any more.
    return false;
  }
}

function sharedFolder(layout: Layout, mine: Configuration, other: Configuration, path: string): EnvironmentError {
  const weightsDir = layout.weightsDir(mine);
  const name = isAbsolute(path) ? relative(weightsDir, path) : path;
  return new EnvironmentError(
    `${name} in ${weightsDir} is no proof: the folder was used by ${describeConfiguration(other)}, and is asked about for ` +
      describeConfiguration(mine),
    { code: "ERR_SHARED_WEIGHTS_DIR", hint: wayOut(layout, mine, other) },
  );
}

function wayOut(layout: Layout, mine: Configuration, other: Configuration): string {
  if (!sharesFolder(layout, mine, other))
    return `remove ${markerRecordName} there once you know that its files are of the one asked about, else the files`;
  const line = partingTemplate(layout, mine, other);
  if (line === null) return "two configurations share a weights dir: rename one of them";
  const way = `two configurations share a weights dir: separate them by a first entry under \`weights:\` in trainlock.yaml: ${line}`;
  // The templates of a site replace the one that every site has.
  const { weights } = layout.site;
  return weights.length > 0 ? way : `${way} and, for all others, a second one: - ${templatesOf(layout.site)[0]?.text}`;
}
