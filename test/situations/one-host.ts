import { claims } from "./claims.ts";
import { containers, hiddenProcesses } from "./out-of-sight.ts";
import { served } from "./served.ts";
import { type Situation, situation } from "./situation.ts";

const living = situation("living");
const dead = situation("dead");
const unknowable = situation("nobody can know");
const over = situation("over");

/** Where asking is done from. */
const stranger = ["setpriv", "--reuid=65530", "--regid=65530", "--clear-groups"];
/** Job scripts that leave a PID in the marker, and nothing else. */
const bareMarkers: readonly Situation[] = [
  living("a bash job trains", "noclobber", { shown: "ACTIVE" }),
  dead("a bash job was killed", "noclobber; die $job", { shown: "STALE - PID not running" }),
  living("a stopped bash job", "noclobber; kill -STOP $job"),
  living("a job that set its marker's time back", 'leave \'echo $$ >"$M"; touch -d 2020-01-01 "$M"; exec sleep 600\''),
  living(
    "a job whose marker was given to another user",
    'leave \'echo $$ >"$M"; sleep 3; chown 65534 "$M"; exec sleep 600\'; settle test -O "$M"; settle test ! -O "$M"',
  ),
  living(
    "a job whose marker was given to another user at once",
    'leave \'echo $$ >"$M"; sleep 0.05; chown 65534 "$M"; exec sleep 600\'; settle test -s "$M"; settle test ! -O "$M"',
  ),
  living(
    "a job with a name that looks like a zombie's",
    `leave 'echo $$ >"$M"; exec python3 -c "
import time
open(\\"/proc/self/comm\\", \\"w\\").write(\\"x) Z 1 (\\")
time.sleep(600)"'; settle grep -q 'Z 1' /proc/$left/comm`,
  ),
  living(
    "a job whose first thread has ended",
    `leave 'exec python3 -c "
import ctypes, os, threading, time
open(os.environ[\\"M\\"], \\"w\\").write(str(os.getpid()) + chr(10))
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).syscall(60, 0)"'; settle test -s "$M"; settle grep -q '^State:.Z' /proc/$left/status`,
  ),
  living(
    "another user's job",
    'leave \'echo $$ >"$M"; chown 65534 "$M"; exec setpriv --reuid=65534 --clear-groups sleep 600\'; settle test ! -O "$M"; settle grep -q "^Uid:.65534" /proc/$left/status',
  ),
  living(
    "another user's job, asked about by a third",
    'chmod -R a+rwX "$R"; leave \'echo $$ >"$M"; exec sleep 600\'; settle test -s "$M"',
    { asks: stranger },
  ),
  living(
    "a marker that a third user may not read",
    'leave \'echo $$ >"$M"; exec sleep 600\'; settle test -s "$M"; chmod -R a+rwX "$R"; chmod 600 "$M"',
    { asks: stranger },
  ),
  dead(
    "another user's job that has ended, asked about by a third",
    'echo $never >"$M"; chown 65534 "$M"; chmod -R a+rwX "$R"',
    { asks: stranger },
  ),
  dead(
    "its number is another user's process now",
    'leave "exec setpriv --reuid=65534 --clear-groups sleep 600"; settle grep -q "^Uid:.65534" /proc/$left/status; echo $left >"$M"',
  ),
  // One whose number no process of a container has, such as those of other tests.
  dead(
    "its number is a thread of the kernel",
    'inside=$(cat /proc/[0-9]*/status 2>/dev/null | awk "/^NSpid:/ && NF > 2 { print \\$NF }"); for pid in $(ps -o pid= --ppid 2 | sort -rn); do case $(cat /proc/$pid/comm) in kworker*) ;; *) echo "$inside" | grep -qx $pid || break ;; esac; done; echo $pid >"$M"',
  ),
  dead(
    "its number is a thread of another process",
    `leave 'exec python3 -c "
import os, threading, time
threading.Thread(target=lambda: (open(os.environ[\\"M\\"], \\"w\\").write(str(threading.get_native_id()) + chr(10)), time.sleep(600))).start()"'; settle test -s "$M"`,
  ),
  dead(
    "it has ended, and its parent has not asked for its end",
    `leave 'exec python3 -c "
import os, time
pid = os.fork()
if pid == 0: os._exit(0)
open(os.environ[\\"M\\"], \\"w\\").write(str(pid) + chr(10))
time.sleep(600)"'; settle test -s "$M"`,
  ),
  living(
    "a job that has become another program",
    `leave 'echo $$ >"$M"; exec bash -c "exec -a worker tail -f /dev/null"'; settle test -s "$M"; settle grep -q worker /proc/$left/cmdline`,
    { shown: "ACTIVE" },
  ),
  living(
    "a job that has given up root's rights, and trains in that folder",
    `leave 'echo $$ >"$M"; exec 7>>"$W/log"; exec setpriv --reuid=65534 --clear-groups tail -f /dev/null'; settle grep -q "^Uid:.65534" /proc/$left/status; settle grep -q tail /proc/$left/comm`,
  ),
  living(
    "a job that has given up root's rights, and was told of that folder",
    'leave \'echo $$ >"$M"; exec setpriv --reuid=65534 --clear-groups sh -c "while sleep 1; do :; done" sh --work-dir "$W/"\'; settle grep -q "^Uid:.65534" /proc/$left/status; settle grep -q work-dir /proc/$left/cmdline',
  ),
  living(
    "a job that has changed its root",
    'mkdir "$S/jail"; leave \'echo $$ >"$M"; exec python3 -c "import os, sys, time; os.chroot(sys.argv[1]); open(sys.argv[2], \\"w\\"); time.sleep(600)" "$S/jail" /in\'; settle test -e "$S/jail/in"',
    {
      shown: "ACTIVE",
    },
  ),
  living("a job whose marker is of tomorrow: the clock was set back since", 'noclobber; touch -d +1day "$M"', {
    shown: "ACTIVE",
  }),
  dead("a job that was killed, whose marker is of tomorrow", 'noclobber; die $job; touch -d +1day "$M"'),
  dead(
    "a job that was killed, in a folder that was put back from a copy",
    'noclobber; die $job; cp -r "$W" "$S/copy"; rm -r "$W"; cp -r "$S/copy" "$W"',
  ),
  living(
    "a job whose folder is a link to another name within the root",
    'mv "$R/WEIGHTS/baseline" "$R/WEIGHTS/other"; ln -s other "$R/WEIGHTS/baseline"; noclobber',
  ),
  over("a bash job that has ended", 'noclobber; kill $job; settle gone_or_zombie $job; rm -f "$M"'),
];

/** The script is gone; what it started may train. */
const leftByScripts: readonly Situation[] = [
  living(
    "its training writes a log there",
    'echo $never >"$M"; leave \'exec 7>>"$W/train.log"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  living(
    "its training writes a file that it has removed",
    'echo $never >"$M"; leave \'exec 7>"$W/tmp"; rm "$W/tmp"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  living(
    "its training writes a checkpoint in a folder of it",
    'echo $never >"$M"; mkdir "$W/ckpt"; leave \'exec 7>"$W/ckpt/1.pth"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  living(
    "its training writes there from a container, by another path",
    'echo $never >"$M"; export W; container \'mount --bind "$W" /mnt; exec 7>/mnt/x.pth; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  dead(
    "somebody reads there",
    'echo $never >"$M"; echo 1 >"$W/x"; leave \'exec 7<"$W/x"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  dead(
    "somebody works there, with no file open",
    'echo $never >"$M"; leave \'cd "$W"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  dead(
    "somebody writes in the folder beside it",
    'echo $never >"$M"; leave \'exec 7>"$W-other"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  dead(
    "another user writes there",
    'echo $never >"$M"; leave \'exec 7>"$W/x.pth"; : >"$S/open"; exec setpriv --reuid=65534 --clear-groups sleep 600\'; settle test -e "$S/open"; settle grep -q "^Uid:.65534" /proc/$left/status',
  ),
  living(
    "an old empty marker whose writer was stopped before it wrote",
    'leave \'exec 7>"$M"; touch -d -1hour "$M"; : >"$S/open"; kill -STOP $$\'; settle test -e "$S/open"',
  ),
  living(
    "an old empty marker whose writer was stopped before it wrote, asked about by another user",
    'chmod -R a+rwX "$R"; leave \'exec 7>"$M"; touch -d -1hour "$M"; : >"$S/open"; kill -STOP $$\'; settle test -e "$S/open"',
    { asks: stranger },
  ),
  living(
    "a worker with closed descriptors in a container whose wrapper and command were killed",
    `printf '%s\\n' 'import os, subprocess, time' 'subprocess.Popen(["sleep", "600"], start_new_session=True)' \\
      'open(os.environ["S"] + "/up", "w").close()' 'time.sleep(600)' >"$S/p.py"
    container 'run "exec python3 $S/p.py"; settle test -e "$S/up"; die $wrapper $command; : >"$S/held"; sleep 600; :'; settle test -e "$S/held"`,
  ),
  dead("an old empty marker that nobody has open", ': >"$M"; touch -d -1hour "$M"', { shown: "STALE - no PID" }),
  unknowable("a young empty marker", ': >"$M"', { shown: "UNKNOWN - being created" }),
  unknowable("a marker of two lines", 'printf "1\\n2\\n" >"$M"'),
  unknowable("a marker of bytes", 'head -c 40 /dev/urandom >"$M"; printf "\\0" >>"$M"'),
  unknowable("a number that no process can have", 'echo 99999999999 >"$M"'),
  unknowable("a folder in the marker's place", 'mkdir "$M"'),
  unknowable("a pipe in the marker's place", 'mkfifo "$M"'),
];

/** Kernel locks of the old writers. */
const kernelLocks: readonly Situation[] = [
  living("a Python job holds", "python", { shown: "ACTIVE" }),
  living("a bash job holds by flock", "flocked", { shown: "ACTIVE" }),
  living("a stopped Python job", "python; kill -STOP $job"),
  dead("a Python job was killed", "python; die $job", { shown: "STALE - lock not held" }),
  over("a Python job has ended", 'python; kill $job; settle gone_or_zombie $job; rm -f "$L"'),
  living("a contender has emptied the lock file", 'python; : >"$L"'),
  living(
    "the script was killed, and a child has inherited its lock",
    'flocked; die $job; leave \'exec 9>>"$L"; flock -n 9; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
  living("the lock file was removed while a Python job holds it", 'python; rm "$L"'),
  living("the lock file was removed and made again while a Python job holds it", 'python; rm "$L"; : >"$L"'),
  living("the lock file was removed while a bash job holds it, whose flock has ended", 'flocked; rm "$L"'),
  living(
    "the lock file was removed while a container's job holds it",
    `container 'python; : >"$S/held"; sleep 600; :'; settle test -e "$S/held"; rm "$L"`,
  ),
  over(
    "a lock file of that name in another root was removed while a container's job holds it",
    `export L="$S/other/\${L##*/}"; mkdir "$S/other"; container 'python; : >"$S/held"; sleep 600; :'; settle test -e "$S/held"; rm "$L"`,
  ),
  living("another user's lock, in a file that a third may not read", 'chmod -R a+rwX "$R"; python; chmod 600 "$L"', {
    asks: stranger,
    runs: 3,
  }),
  living(
    "bytes for a record, and held",
    'leave \'exec 9>>"$L"; flock -n 9; head -c 300 /dev/urandom >"$L"; : >"$S/open"; exec sleep 600\'; settle test -e "$S/open"',
  ),
];

/** What one machine can stage: a local file system, users, containers, clocks. */
export const oneHost: Readonly<Record<string, readonly Situation[]>> = {
  "job scripts that leave a PID": bareMarkers,
  "a script that is gone": leftByScripts,
  containers,
  "hidden processes": hiddenProcesses,
  "kernel locks of old jobs": kernelLocks,
  "claims of trainlock": claims,
  "file systems that other hosts reach by this one": served,
};
