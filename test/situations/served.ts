import { type Situation, situation } from "./situation.ts";

const living = situation("living");
const dead = situation("dead");
const unknowable = situation("nobody can know");

/** The asking host exports all of its root file system, by a table as exportfs 2.6.2 writes it. */
const exported = (options: string) => [
  "unshare",
  "--mount",
  "sh",
  "-c",
  `mount -t tmpfs tmpfs /var/lib && mkdir /var/lib/nfs && printf '/\\t*(${options},wdelay,hide,crossmnt,secure,root_squash,sec=sys,${options.slice(0, 2)})\\n' >/var/lib/nfs/etab && exec "$@"`,
  "sh",
];

/** A run of another host, which has this one's folder through a server here: by bindfs, with a boot and a name of its own. */
const elsewhere = (lines: string) =>
  `mkdir "$S/mnt"; cat /proc/sys/kernel/random/uuid >"$S/boot"; export elsewhere="\${A//$R/$S/mnt}" lines='${lines}'
  unshare --mount --uts bash -c 'hostname node07; bindfs "$R" "$S/mnt"; mount --bind "$S/boot" /proc/sys/kernel/random/boot_id
    . "$STAGING"; also $(pgrep -nf "^bindfs $R $S/mnt"); A=$elsewhere; run; eval "$lines"; : >"$S/held"; sleep 600; :' </dev/null >/dev/null 2>&1 &
  also $!; settle test -e "$S/held"`;

/** The asking call has an overlay over what it is told is the root: its lower layer is a file system of unknown reach. */
const overlaid = `for a; do [ "$last" = --root ] && root=$a; last=$a; done
  d=$(mktemp -d); mount -t tmpfs tmpfs "$d"; mkdir "$d/low" "$d/up" "$d/work"; bindfs "$root" "$d/low"
  mount -t overlay overlay -o "lowerdir=$d/low,upperdir=$d/up,workdir=$d/work" "$root"
  "$@"; code=$?; umount -l "$root" "$d/low" "$d"; rmdir "$d"; exit $code`;

/** Local file systems to which other hosts write, too: the asking host serves them. */
export const served: readonly Situation[] = [
  unknowable("a job, perhaps of a client, where folders are exported by NFS", 'echo $never >"$M"', {
    asks: exported("rw,sync"),
    shown: "UNKNOWN - remote process",
    evidence: /exported by NFS/,
  }),
  dead("a job that has ended, where clients of the NFS server may only read", 'echo $never >"$M"', {
    asks: exported("ro,sync"),
  }),
  living("a run of this host, which exports its folder", "run", { asks: exported("rw,sync"), shown: "ACTIVE" }),
  dead("a run of this host that was killed, which exports its folder", "run; die $wrapper $command", {
    asks: exported("rw,sync"),
  }),
  unknowable(
    "a Python job of a client of the NFS server, whose locks the server's flock does not see",
    'python; die $job; sed -i "s/$(hostname)/node07/" "$L"',
    { asks: exported("rw,sync") },
  ),
  unknowable("a job, perhaps of another host, in a layer below an overlay that others write", 'echo $never >"$M"', {
    asks: ["unshare", "--mount", "sh", "-c", overlaid, "sh"],
    evidence: /this overlay shows files of fuse/,
  }),
  living("a run of a host that reaches this host's own file system", elsewhere(""), {
    shown: "UNKNOWN - remote process",
    evidence: /node07 has written there since this host booted/,
  }),
  unknowable(
    "the same, killed, whose marker has another inode by that way, and whose lock file was removed",
    `${elsewhere("die $wrapper $command")}; rm "$L"; sed -i "s/\\"marker_inode\\": [0-9]*/\\"marker_inode\\": 2/" "$J"`,
    { evidence: /node07 has written there since this host booted/ },
  ),
  unknowable("a run of such a host that was killed there", elsewhere("die $wrapper $command; umount $S/mnt")),
];
