import { describe, expect, test } from "vitest";
import { isAsMade } from "../../src/stores/folder/lock-file.ts";
import { configuration } from "../support/configuration.ts";
import { inOwnMounts } from "../support/in-own-mounts.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable } from "../support/trainlock.ts";

/** What bash says of lines that ask, on a file system of which nobody knows how far its locks reach. */
async function onUnknownReach(lines: string) {
  const of = configuration(await temporaryRoot());
  const variables = {
    T: executable,
    A: of.args.join(" "),
    R: of.root,
    W: of.weightsDir,
    M: of.marker,
    L: of.kernelLock,
  };
  const script = `set -e; mkdir -p "$W" "\${L%/*}"; bindfs "$R" "$R"; trap 'umount -l "$R"' EXIT; set +e
    ask() { "$T" check $A --scheduler none >/dev/null 2>&1; echo "check $?"; "$T" run $A --scheduler none -- true 2>/dev/null; echo "run $?"; }
    listed() { "$T" list --root "$R" --scheduler none "$@" | grep -o '\\[.*\\]'; }
    ${lines}`;
  return await inOwnMounts(script, variables);
}

const onFuse = requiresPrograms("root", "bindfs", "unshare --mount", "flock");

describe("an emptied lock file where locks may stay on their host", () => {
  onFuse(
    "keeps everybody away until it is cleared by force",
    async () => {
      const said = await onUnknownReach(`echo '{"strategy": "baseline"}' >"$L"; : >"$L"
      listed; listed --no-verify-pid; "$T" clear --root "$R" --scheduler none --no-dry-run 2>&1 >/dev/null | grep -o 'kept .*\\]'; ask
      "$T" clear --root "$R" --scheduler none --no-dry-run --force >/dev/null; ask`);
      const locked = ["check 1", "run 75"];
      const free = ["check 0", "run 0"];
      const kept = `kept ${said[2]?.split(" ")[1]} [UNKNOWN - remote process]`;
      expect(said).toEqual(["[UNKNOWN - remote process]", "[UNVERIFIED]", kept, ...locked, ...free]);
    },
    70_000,
  );

  onFuse(
    "is active while somebody here holds it",
    async () => {
      const said = await onUnknownReach(`exec 9>"$L"; flock -n 9; echo x >&9; : >"$L"; listed; ask`);
      expect(said).toEqual(["[ACTIVE]", "check 1", "run 75"]);
    },
    70_000,
  );

  onFuse(
    "is none that a run has left which was turned away",
    async () => {
      const said = await onUnknownReach(`echo $$ >"$M"; "$T" run $A --scheduler none -- true 2>/dev/null; echo "run $?"
      rm "$M"; listed; ask`);
      expect(said).toEqual(["run 75", "check 0", "run 0"]);
    },
    70_000,
  );
});

describe("whether a lock file is as it was made", () => {
  const at = (birthtimeNs: bigint, mtimeNs: bigint, ctimeNs = mtimeNs) => ({ birthtimeNs, mtimeNs, ctimeNs });
  const folder = at(1n, 2n);
  test.each([
    ["never written", at(5_000_000_000n, 5_000_000_000n), folder, true],
    ["its mode was changed", at(5_000_000_000n, 5_000_000_000n, 9_000_000_000n), folder, true],
    ["written or emptied", at(5_000_000_000n, 5_020_000_000n), folder, false],
    ["by a file system that does not keep when it was made", at(0n, 5_000_000_000n), at(0n, 2n), false],
    ["by a runtime that shows the last change in place of that", at(5_000_000_000n, 5_000_000_000n), at(2n, 2n), false],
  ])("%s", (_, file, around, isSo) => {
    expect(isAsMade(file, around)).toBe(isSo);
  });
});
