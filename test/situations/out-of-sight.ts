import { type Situation, situation } from "./situation.ts";

const living = situation("living");
const dead = situation("dead");
const unknowable = situation("nobody can know");

/** Where asking is done from. */
const container = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
const hidden = (as: readonly string[]) => [
  "unshare",
  "--mount",
  "sh",
  "-c",
  `mount -t proc -o hidepid=2 proc /proc && exec setpriv ${as.join(" ")} --clear-groups "$@"`,
  "sh",
];
const hiddenFromNobody = hidden(["--reuid=65534", "--regid=65534"]);
const hiddenFromStranger = hidden(["--reuid=65530", "--regid=65530"]);

/** PIDs mean another process on the other side. */
export const containers: readonly Situation[] = [
  living(
    "a job in a container",
    'container \'echo 31000 >/proc/sys/kernel/ns_last_pid; bash -c "echo \\$\\$ >\\"$M\\"; exec sleep 600; :"; :\'; settle test -s "$M"',
    { evidence: /inside a container/ },
  ),
  living(
    "a job that is the first process of a container",
    'container \'echo $$ >"$M"; exec sleep 600\'; settle test -s "$M"',
  ),
  dead(
    "a job in a container that has ended",
    'container \'echo 31500 >/proc/sys/kernel/ns_last_pid; bash -c "echo \\$\\$ >\\"$M\\"; exec sleep 600; :"; :\'; settle test -s "$M"; die $inside',
  ),
  unknowable(
    "the first process of a container that has ended",
    'touch -d 2001-01-01 "$M"; echo 1 >"$M"; touch -d 2001-01-01 "$M"',
    { shown: "UNKNOWN - other container" },
  ),
  living(
    "a job in a container within a container",
    'container \'unshare --pid --fork --mount-proc --kill-child bash -c "echo \\$\\$ >\\"$M\\"; exec sleep 600; :"; :\'; settle test -s "$M"',
  ),
  dead(
    "a run in a container within a container that has ended",
    'container \'unshare --pid --fork --mount-proc --kill-child bash -c ". \\"$STAGING\\"; run; : >\\"$S/held\\"; sleep 600; :"; :\'; settle test -e "$S/held"; die $inside; settle flock -n "$L" true',
  ),
  living(
    "a job in a container of a user of its own",
    'chmod -R a+rwX "$R"; chown 65534 "$W"; as_nobody unshare --user --map-root-user --pid --fork --mount-proc --kill-child bash -c "echo \\$\\$ >\\"$M\\"; exec sleep 600" </dev/null >/dev/null 2>&1 & also $!; settle test -s "$M"',
  ),
  living(
    "a run in a container of a user of its own",
    'chmod -R a+rwX "$R" "$S"; chown -R 65534 "$R" "$S"; cp "$T" "$S/trainlock"; export A STAGING S J; as_nobody unshare --user --map-root-user --pid --fork --mount-proc --kill-child bash -c "export T=\\"$S/trainlock\\"; . \\"$STAGING\\"; run; : >\\"$S/held\\"; sleep 600; :" </dev/null >/dev/null 2>&1 & also $!; settle test -e "$S/held"',
  ),
  living(
    "a run that knows the root by another path",
    `mkdir "$S/mnt"; export A="\${A//$R/$S/mnt}"; unshare --mount bash -c 'mount --bind "$R" "$S/mnt"; . "$STAGING"; run; : >"$S/held"; sleep 600; :' </dev/null >/dev/null 2>&1 & also $!; settle test -e "$S/held"`,
  ),
  unknowable(
    "a run outside from before a boot of this host, asked about from a container",
    'run; die $wrapper $command; boot=$(tr -d "\\n" </proc/sys/kernel/random/boot_id); sed -i "s/$boot/00000000-0000-4000-8000-000000000000/" "$J" "$L"; exec 8<"$L"; rm "$L"; touch -d -90days "$M"; touch -d -89days "$J"',
    { asks: container },
  ),
  living(
    "a job in a container, beside the record of a run that ended in another with its number, and got its inode",
    '"$T" run $A --scheduler none -- true; rm "$L"; container \'echo $$ >"$M"; exec sleep 600\'; settle test -s "$M"; sed -i "s/\\"pid\\": [0-9]*/\\"pid\\": 1/; s/\\"marker_inode\\": [a-z0-9]*/\\"marker_inode\\": $(stat -c %i "$M")/" "$J"; touch -d -1min "$J"',
  ),
  living("a job outside, asked about from a container", "noclobber", { asks: container }),
  unknowable("a job outside that was killed, asked about from a container", "noclobber; die $job", {
    asks: container,
    shown: "UNKNOWN - other container",
  }),
  living("a run in a container", 'container \'run; : >"$S/held"; sleep 600; :\'; settle test -e "$S/held"'),
  living("a run outside, asked about from a container", "run", { asks: container }),
  dead(
    "a run in a container that has ended",
    'container \'run; : >"$S/held"; sleep 600; :\'; settle test -e "$S/held"; die $inside',
  ),
  dead(
    "a run in a container that has ended, and its lock file is gone",
    'container \'run; : >"$S/held"; sleep 600; :\'; settle test -e "$S/held"; die $inside; rm "$L"',
    { evidence: /nobody is left in its container/ },
  ),
  living(
    "a run in a container whose lock file and wrapper are gone",
    'container \'run; : >"$S/held"; settle test -e "$S/go"; kill -9 $wrapper; rm -f "$L"; : >"$S/gone"; sleep 600; :\'; settle test -e "$S/held"; : >"$S/go"; settle test -e "$S/gone"',
  ),
  living(
    "a job under another clock of boot",
    'unshare --time --boottime 864000 --fork --kill-child bash -c "echo \\$\\$ >\\"$M\\"; exec sleep 600" & also $!; settle test -s "$M"; also $(<"$M")',
  ),
  living("a job, asked about under another clock of boot", "noclobber", {
    asks: ["unshare", "--time", "--boottime", "864000", "--fork"],
  }),
  living("a run, asked about under another clock of boot", "run", {
    asks: ["unshare", "--time", "--boottime", "864000", "--fork"],
  }),
];

/** /proc shows users their own processes only. */
export const hiddenProcesses: readonly Situation[] = [
  living(
    "one's own job",
    'chmod -R a+rwX "$R"; chown 65534 "$W"; leave \'exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "echo \\$\\$ >\\"$M\\"; exec sleep 600"\'; settle test -s "$M"',
    { asks: hiddenFromNobody },
  ),
  dead("one's own job that has ended", 'echo $never >"$M"; chmod -R a+rwX "$R"; chown 65534:65534 "$W" "$M"', {
    asks: hiddenFromNobody,
  }),
  dead(
    "one's own job, whose number is another user's now",
    'leave "exec sleep 600"; echo $left >"$M"; chmod -R a+rwX "$R"; chown 65534:65534 "$W" "$M"',
    { asks: hiddenFromNobody },
  ),
  living("another user's run", 'chmod -R a+rwX "$R"; run; chmod -R a+rwX "$R"', { asks: hiddenFromStranger }),
  living(
    "another user's job",
    'chmod -R a+rwX "$R"; chown 65534 "$W"; leave \'exec setpriv --reuid=65534 --regid=65534 --clear-groups sh -c "echo \\$\\$ >\\"$M\\"; exec sleep 600"\'; settle test -s "$M"',
    { asks: hiddenFromStranger },
  ),
];
