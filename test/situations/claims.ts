import { type Situation, situation } from "./situation.ts";

const living = situation("living");
const dead = situation("dead");
const unknowable = situation("nobody can know");
const over = situation("over");

/** Claims of trainlock. */
export const claims: readonly Situation[] = [
  living("a run trains", "run", { shown: "ACTIVE" }),
  living("a run that was stopped", "run; kill -STOP $wrapper $command"),
  living("its wrapper was killed", "run; die $wrapper"),
  dead("wrapper and command were killed", "run; die $wrapper $command", { shown: "STALE - PID not running" }),
  living(
    "both were killed, and a daemon of its tree lives",
    'run \'setsid sleep 600 & echo $! >"$S/daemon"; exec sleep 600\'; settle test -s "$S/daemon"; also $(<"$S/daemon"); die $wrapper $command',
  ),
  living(
    "both were killed, and a daemon without its environment lives",
    'run \'setsid env -i sleep 600 & echo $! >"$S/daemon"; exec sleep 600\'; settle test -s "$S/daemon"; also $(<"$S/daemon"); settle grep -qs ":$(<"$S/daemon")," "$W/.training_lock.tree"; die $wrapper $command',
  ),
  living("its wrapper was stopped, then lock file and marker removed", 'run; kill -STOP $wrapper; rm "$L" "$M"'),
  living(
    "its wrapper was stopped, and its lock file made again by somebody",
    'run; kill -STOP $wrapper; rm "$L"; : >"$L"',
  ),
  living(
    "its files are of tomorrow: the clock was set back since",
    'run; kill -STOP $wrapper; touch -d +1day "$M" "$J" "$L"',
  ),
  dead("both were killed, and its files are of tomorrow", 'run; die $wrapper $command; touch -d +1day "$M" "$J" "$L"', {
    shown: "STALE - PID not running",
  }),
  living(
    "another configuration's file was linked in the place of its lock file",
    'run; kill -STOP $wrapper; echo >"$R/training_locks/x_y_z.lock"; ln -f "$R/training_locks/x_y_z.lock" "$L"',
    { runs: 3 },
  ),
  over("a run has ended", '"$T" run $A --scheduler none -- true'),
  over("a run has failed", '"$T" run $A --scheduler none -- false || true'),
  living(
    "its lock file was removed and made again by somebody, then its wrapper killed",
    'run; rm "$L"; : >"$L"; die $wrapper',
  ),
  living("its wrapper was killed, then its lock file removed", 'run; die $wrapper; rm "$L"'),
  dead("both were killed, and its lock file removed", 'run; die $wrapper $command; rm "$L"'),
  living("its marker was removed, and it has put it back", 'run; rm "$M"; settle test -s "$M"'),
  living("its record was emptied by a contender", 'run; : >"$L"'),
  living("its lock file is empty, and its wrapper killed", 'run; die $wrapper; : >"$L"'),
  living(
    "its folder was put back from a copy while it trains",
    'run; cp -a "$W" "$S/copy"; rm -r "$W"; cp -a "$S/copy" "$W"',
  ),
  dead(
    "its folder was put back from a copy after its end",
    'run; die $wrapper $command; cp -a "$W" "$S/copy"; rm -r "$W"; cp -a "$S/copy" "$W"',
  ),
  living(
    "a stranger's record lies beside a job's marker",
    'run; die $wrapper $command; rm "$L"; leave \'echo $$ >"$M"; exec sleep 600\'; settle grep -qx $left "$M"; sed -i "s/\\"pid\\": [0-9]*/\\"pid\\": $left/; s/\\"marker_inode\\": [0-9]*/\\"marker_inode\\": $(stat -c %i "$M")/" "$J"; chown 65530 "$J"',
  ),
  living(
    "a record of before lies beside a job's marker of the same inode",
    'run; die $wrapper $command; rm "$L"; leave \'echo $$ >"$M"; exec sleep 600\'; settle grep -qx $left "$M"; sed -i "s/\\"pid\\": [0-9]*/\\"pid\\": $left/; s/\\"marker_inode\\": [0-9]*/\\"marker_inode\\": $(stat -c %i "$M")/" "$J"; touch -d -1day "$J"',
  ),
  living(
    "a record of before lies beside another user's job, whose marker got its inode",
    'run; die $wrapper $command; rm "$L" "$M"; chmod 777 "$W"; leave \'exec setpriv --reuid=65534 --clear-groups sh -c "echo \\$\\$ >\\"$M\\"; exec sleep 600"\'; settle grep -qx $left "$M"; sed -i "s/\\"pid\\": [0-9]*/\\"pid\\": $left/; s/\\"marker_inode\\": [0-9]*/\\"marker_inode\\": $(stat -c %i "$M")/" "$J"; touch -d -1day "$J"',
  ),
  dead(
    "its host has booted since",
    'run; die $wrapper $command; boot=$(tr -d "\\n" </proc/sys/kernel/random/boot_id); sed -i "s/$boot/00000000-0000-4000-8000-000000000000/" "$J" "$L"; rm "$L"; touch -d -90days "$M"; touch -d -89days "$J"',
    { shown: "STALE - host rebooted" },
  ),
  // Its lock file stays open: the next one must not get its inode, by which a run would know that its last holder is gone.
  unknowable(
    "a copy of its host took it: same name and machine id, other boot, younger than this boot",
    'run; die $wrapper $command; boot=$(tr -d "\\n" </proc/sys/kernel/random/boot_id); sed -i "s/$boot/00000000-0000-4000-8000-000000000000/" "$J"; exec 8<"$L"; rm "$L"',
  ),
  unknowable(
    "a newer trainlock's, not released",
    'run; die $wrapper $command; sed -i "s/\\"format\\": 1/\\"format\\": 2/" "$J" "$L"',
    { shown: "UNKNOWN - newer trainlock" },
  ),
  living("a newer trainlock's, held", 'run; sed -i "s/\\"format\\": 1/\\"format\\": 2/" "$J"'),
];
