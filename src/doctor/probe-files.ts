import { closeSync, constants, linkSync, openSync, renameSync, type Stats, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fault, type Outcome, ok, warning } from "../model/finding.ts";
import { sweepScratches, withScratch } from "../system/files/scratch.ts";
import { createShared } from "../system/files/shared-permissions.ts";
import { errnoOf } from "../system/libc/errno.ts";
import { exchangePaths } from "../system/libc/exchange-files.ts";
import { groupText } from "../system/processes/groups.ts";

const setGroupId = 0o2000;
const sticky = 0o1000;

/** Whether files can be made, and whom they then belong to. */
export function createProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, (scratch) => {
    sweepScratches(folder, statSync(scratch).mtimeMs);
    const path = join(scratch, "file");
    closeSync(createShared(path, constants.O_RDWR | constants.O_EXCL));
    return sharing(statSync(folder), statSync(path));
  });
}

function sharing(folder: Stats, file: Stats): Outcome {
  const mode = (stats: Stats) => (stats.mode & 0o7777).toString(8).padStart(4, "0");
  const found = `folder mode ${mode(folder)} ${groupText(folder.gid)}, files mode ${mode(file)} ${groupText(file.gid)}`;
  if ((folder.mode & sticky) !== 0) {
    const means = "only the owner of a file can remove it here: others cannot take over or clear a dead job's lock";
    return warning(`${found}, sticky`, means, "chmod -t, and share the folder by a group");
  }
  if ((folder.mode & 0o002) !== 0) {
    return warning(
      `${found}, writable by all`,
      "any user of this host can remove locks",
      "share it by a group: chmod o-w",
    );
  }
  if ((folder.mode & 0o020) !== 0 && file.gid !== folder.gid) {
    const means = "your files do not get the folder's group: colleagues cannot lock what you created";
    return warning(found, means, "chmod g+s on the folder, or join its group");
  }
  if ((folder.mode & 0o020) !== 0 && (folder.mode & setGroupId) === 0) {
    const means = "the group of new files is set by trainlock alone: other programs' files get another";
    return warning(`${found}, no set-group-id`, means, "chmod g+s");
  }
  return ok(found);
}

export function exclusiveProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, (scratch) => {
    const path = join(scratch, "file");
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL;
    closeSync(openSync(path, flags, 0o664));
    try {
      closeSync(openSync(path, flags, 0o664));
    } catch (error) {
      if (errnoOf(error) === "EEXIST") return ok("a file is created once");
      throw error;
    }
    return fault(
      "O_EXCL created one file twice",
      "two jobs can both believe that they made the marker",
      "use another file system",
    );
  });
}

const byExclusion = "markers are created by O_EXCL instead, and are empty for an instant";

export function linkProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, (scratch) => {
    const [first, second] = [join(scratch, "first"), join(scratch, "second")];
    writeFileSync(first, "");
    try {
      linkSync(first, second);
    } catch (error) {
      return warning(`no hard links (${errnoOf(error) ?? String(error)})`, byExclusion);
    }
    if (statSync(first).ino !== statSync(second).ino)
      return warning("a linked file has another number under its second name", byExclusion);
    const links = statSync(first).nlink;
    return links === 2
      ? ok("hard links work")
      : warning(
          `a linked file shows ${links} links`,
          "trainlock looks at inodes instead to see whether a marker was placed",
        );
  });
}

export function renameProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, (scratch) => {
    const [first, second] = [join(scratch, "first"), join(scratch, "second")];
    writeFileSync(first, "first");
    writeFileSync(second, "second");
    const moved = statSync(first).ino;
    renameSync(first, second);
    return statSync(second).ino === moved
      ? ok("a file replaces another in one step")
      : fault("a renamed file has become another", "records may be read half written", "use another file system");
  });
}

export function exchangeProbe(folder: string): Promise<Outcome> {
  return withScratch(folder, (scratch) => {
    const [first, second] = [join(scratch, "first"), join(scratch, "second")];
    writeFileSync(first, "");
    writeFileSync(second, "");
    const result = exchangePaths(first, second);
    if (result === "exchanged") return ok("two files change places in one step");
    return ok(
      `not supported (${result === "unsupported" ? "EINVAL" : result.errno}): stale markers are replaced by rename`,
    );
  });
}
