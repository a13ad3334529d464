import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { configuration } from "../support/configuration.ts";
import { requiresPrograms } from "../support/requirements.ts";
import { finish } from "../support/running-process.ts";
import { temporaryRoot } from "../support/temporary-root.ts";
import { environment, executable } from "../support/trainlock.ts";

const fileSystem = fileURLToPath(new URL("../support/numbered-names.py", import.meta.url));
const onFuse = requiresPrograms("root", "fusepy", "unshare --mount", "unshare --pid");

/**
 * What is said of a marker on a file server whose clock is behind, by a host on which lines of bash have placed it. Another host
 * that could have it is asked, too: a PID namespace with a name of its own, in place of a host behind ssh.
 */
async function listed(behindSeconds: number, lines: string, owner = ""): Promise<readonly string[]> {
  const of = configuration(await temporaryRoot());
  const tools = join(of.root, "bin");
  mkdirSync(tools);
  writeFileSync(
    join(tools, "ssh"),
    '#!/bin/sh\nexec unshare --uts --pid --fork --mount-proc sh -c "hostname node09; exec sh -s"\n',
  );
  chmodSync(join(tools, "ssh"), 0o755);
  const variables = {
    T: executable,
    R: of.root,
    W: of.weightsDir,
    F: fileSystem,
    BEHIND: String(behindSeconds),
    OWNER: owner,
  };
  const script = `mkdir "$R.mnt"; /usr/bin/python3 "$F" "$R" "$R.mnt" "$BEHIND" $OWNER & served=$!
    trap 'kill -9 $job 2>/dev/null; umount -l "$R.mnt"; wait $served; rmdir "$R.mnt"' EXIT
    until mountpoint -q "$R.mnt"; do sleep 0.05; done; W="\${W//$R/$R.mnt}"; M=$W/.training_lock; mkdir -p "$W"
    ${lines}
    PATH=$R/bin:$PATH "$T" list -v --root "$R.mnt" --scheduler none --hosts node09`;
  const { stdout, stderr } = await finish("unshare", ["--mount", "setsid", "bash", "-c", script], {
    env: environment(variables),
    timeoutMs: 60_000,
  });
  expect(stderr).toBe("");
  return stdout
    .split("\n")
    .flatMap((line) => /\[(.*)\]$|^ +((?:alive|dead|unknown) .*)/.exec(line)?.slice(1) ?? [])
    .filter(Boolean);
}

const starts =
  'setsid bash -c \'echo $$ >"$1"; exec sleep 600\' bash "$M" >/dev/null 2>&1 & disown; until [ -s "$M" ]; do sleep 0.02; done; job=$(<"$M");';
const noneThere = expect.stringMatching(
  /^dead +ssh: process \d+ runs on none of the hosts that could have it: node09$/,
);

onFuse(
  "a script that looks younger than its marker, as the file server's clock is behind, is not dead",
  async () => {
    expect(await listed(10, starts)).toEqual([
      "UNKNOWN - remote process",
      expect.stringMatching(/^unknown +marker: process \d+ runs here .* file server's clock may be behind$/),
      noneThere,
    ]);
  },
  70_000,
);

onFuse(
  "a script whose marker's time somebody has set is not dead",
  async () => {
    expect(await listed(0, `${starts} sleep 0.1; touch -d 2020-01-01 "$M"`)).toEqual([
      "UNKNOWN - remote process",
      expect.stringMatching(
        /^unknown +marker: process \d+ here is older than the last change of the marker's owner, mode or times/,
      ),
      noneThere,
    ]);
  },
  70_000,
);

onFuse(
  "a script that has ended is dead where the other hosts do not have it",
  async () => {
    expect(await listed(0, `${starts} kill -9 $job; while kill -0 $job 2>/dev/null; do sleep 0.02; done`)).toEqual([
      "STALE - PID not running",
      expect.stringMatching(/^unknown +marker: no process \d+ on this host/),
      noneThere,
    ]);
  },
  70_000,
);

onFuse(
  "a script is alive where its file server shows all files as nobody's",
  async () => {
    expect(await listed(0, starts, "65534")).toEqual([
      "ACTIVE",
      expect.stringMatching(/^alive +process: process \d+ runs on this host/),
    ]);
  },
  70_000,
);
