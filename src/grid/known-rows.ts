import { readdirSync } from "node:fs";
import { basename, dirname, relative, sep } from "node:path";
import { kernelLockFacts } from "../listing/kernel-lock-facts.ts";
import { type Configuration, describeConfiguration } from "../model/configuration.ts";
import { messageOf, TrainlockError } from "../model/errors.ts";
import { nameProblem } from "../model/names.ts";
import { configurationOf, recordIn } from "../model/owner-record.ts";
import type { DoneRule } from "../run/done-rule.ts";
import { findDone } from "../run/find-done.ts";
import { type Layout, markerName, markerRecordName } from "../site/layout.ts";
import { placeHere } from "../site/place-here.ts";
import { type WalkEvents, weightsFolders } from "../site/weights-folders.ts";
import { readMarkerRecord } from "../stores/folder/read-marker.ts";
import { openRemoteLocks } from "../stores/open-remote-locks.ts";
import { linkToNowhere } from "../system/files/allowed-links.ts";
import { shownPath } from "../system/files/byte-names.ts";
import { errnoOf, isErrno } from "../system/libc/errno.ts";
import { noSettings, type Row } from "./grid.ts";

/**
 * Every configuration of a site that has a lock, an owner record or what shows it to be done, by name; with `everyFolder` also
 * those of which there is no more than a folder with something in it, as from before there were records. What cannot be led back
 * to a configuration, or not be looked into, goes to `onUnreadable` and is left out.
 */
export async function knownRows(
  layout: Layout,
  ruleOf: (row: Row) => DoneRule,
  events: WalkEvents,
  everyFolder: boolean,
): Promise<Row[]> {
  const { onUnreadable } = events;
  const byFolder = new Map<string, Configuration>();
  for (const { record, path } of await kernelLockFacts(layout, onUnreadable)) {
    const configuration = record === null ? null : configurationOf(record);
    if (configuration === null) continue;
    const place = placeHere(layout, configuration);
    if (place !== null) byFolder.set(place.weightsDir, configuration);
    else onUnreadable(path, `no weights template is for ${describeConfiguration(configuration)}`);
  }
  for (const configuration of (await (await openRemoteLocks(layout))?.known()) ?? []) {
    const place = placeHere(layout, configuration);
    if (place !== null) byFolder.set(place.weightsDir, configuration);
  }
  for (const folder of await weightsFolders(layout, events)) {
    try {
      const unseen = linkToNowhere(layout, folder) === null ? null : configurationOfFolder(layout, folder);
      if (unseen !== null) byFolder.set(folder, unseen);
      const names = readdirSync(folder);
      if (names.length === 0) continue;
      const isMarked = names.includes(markerName) || names.includes(markerRecordName);
      const configuration = configurationOfFolder(layout, folder);
      if (configuration === null) {
        if (isMarked) onUnreadable(shownPath(folder).text, "no configuration has this folder");
      } else if (
        isMarked ||
        everyFolder ||
        (await findDone(layout, configuration, ruleOf(rowOf(folder, configuration)))).kind !== "not done"
      ) {
        byFolder.set(folder, configuration);
      }
    } catch (error) {
      if (isErrno(error, "ENOENT", "ENOTDIR")) continue;
      if (errnoOf(error) === undefined && !(error instanceof TrainlockError)) throw error;
      // Whoever may not look into it cannot tell that nothing is trained there: its row says so.
      const configuration = configurationByPlace(layout, folder);
      if (configuration !== null) byFolder.set(folder, configuration);
      else onUnreadable(folder, errnoOf(error) ?? messageOf(error));
    }
  }
  const rows = [...byFolder].map(([folder, configuration]) => rowOf(folder, configuration));
  const nameOf = ({ configuration }: Row) => layout.displayName(configuration);
  return rows.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1));
}

function rowOf(folder: string, configuration: Configuration): Row {
  return { configuration, weightsDir: folder, settings: noSettings, source: folder, line: null };
}

/** The configuration that trains in a folder: by the site's templates, its owner record, or the folder's own names. */
export function configurationOfFolder(layout: Layout, folder: string): Configuration | null {
  const byTemplate = layout.configurationOfWeightsDir(folder);
  if (byTemplate !== null) return byTemplate;
  const record = recordIn(readMarkerRecord(folder).reading);
  const recorded = record === null ? null : configurationOf(record);
  if (recorded !== null && layout.weightsDir(recorded) === folder) return recorded;
  return configurationByPlace(layout, folder);
}

/** The same of a folder that nobody here may look into. */
function configurationByPlace(layout: Layout, folder: string): Configuration | null {
  const byTemplate = layout.configurationOfWeightsDir(folder);
  if (byTemplate !== null) return byTemplate;
  const named = configurationByNames(layout, folder);
  return named !== null && layout.weightsDir(named) === folder ? named : null;
}

/** What the default layout's names say: the model's folder ends with its ratio and auxiliary loss. */
function configurationByNames({ root }: Layout, folder: string): Configuration | null {
  if (relative(root, folder).split(sep).length < 3) return null;
  const [, model = "", ratio, auxLoss] = /^(.+?)(?:_ratio(0p\d\d|1p00))?(?:_aux-(.+))?$/s.exec(basename(folder)) ?? [];
  const dataset = basename(dirname(folder)).replace(/_cd$/, "");
  const strategy = basename(dirname(dirname(folder)));
  if ([strategy, dataset, model].some((name) => nameProblem(name) !== null)) return null;
  const share = ratio === undefined ? null : Number(ratio.replace("p", "."));
  return { strategy, dataset, model, ratio: share, auxLoss: auxLoss ?? null, stage: null, dimensions: {} };
}
