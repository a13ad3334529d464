import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { inOwnMounts } from "../support/in-own-mounts.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { executable } from "../support/trainlock.ts";

const fileSystem = fileURLToPath(new URL("../support/numbered-names.py", import.meta.url));
const onFuse = requiresPrograms("root", "fusepy", "unshare --mount", "flock");

/** What bash says of lines that run on a file system that numbers names instead of files, as sshfs does. */
async function said(lines: string): Promise<string[]> {
  const of = configuration(await temporaryRoot());
  const variables = {
    T: executable,
    A: `${of.args.join(" ")} --scheduler none`,
    R: of.root,
    M: of.marker,
    F: fileSystem,
  };
  const script = `mkdir "$R.mnt"; /usr/bin/python3 "$F" "$R" "$R.mnt" & served=$!
    trap 'umount -l "$R.mnt"; wait $served; rmdir "$R.mnt"' EXIT
    until mountpoint -q "$R.mnt"; do sleep 0.05; done; A="\${A//$R/$R.mnt}"; M="\${M//$R/$R.mnt}"
    run() { "$T" run $A "$@" 2>/dev/null; echo "run $?"; }
    ${lines}`;
  return await inOwnMounts(script, variables);
}

onFuse(
  "a run takes its marker, keeps others away, and leaves nothing",
  async () => {
    const lines = await said(`run -- true; ls -A "\${M%/*}"; run -- true
    mkfifo "$R/end"; run --check-every 1s -- sh -c 'echo >"$0.on"; read x <"$0"' "$R/end" & holder=$!
    until [ -e "$R/end.on" ]; do sleep 0.02; done; sleep 2.5
    run -- true; "$T" check $A >/dev/null 2>&1; echo "check $?"; echo x >"$R/end"; wait $holder; ls -A "\${M%/*}"`);
    expect(lines).toEqual([
      ...["run 0", ".training_lock.json", "run 0"],
      ...["run 75", "check 1", "run 0", ".training_lock.json"],
    ]);
  },
  70_000,
);

onFuse(
  "what a killed run has left is taken over, and a bash job's marker is not",
  async () => {
    const lines =
      await said(`"$T" run $A -- sh -c 'echo $$ >"$0.on"; exec sleep 600' "$R/killed" 2>/dev/null & wrapper=$!
    until [ -s "$R/killed.on" ]; do sleep 0.02; done; kill -9 $wrapper $(<"$R/killed.on"); wait $wrapper 2>/dev/null
    run -- true; (set -o noclobber; echo $$ >"$M"); run -- true; rm "$M"; run -- true`);
    expect(lines).toEqual(["run 0", "run 75", "run 0"]);
  },
  70_000,
);

onFuse(
  "doctor says how markers are made there",
  async () => {
    const lines = await said(`"$T" doctor --root "$R.mnt" 2>&1 | grep -A1 'warning *link '`);
    expect(lines[0]).toMatch(/a linked file has another number under its second name$/);
    expect(lines[1]).toMatch(/markers are created by O_EXCL instead, and are empty for an instant$/);
  },
  70_000,
);
