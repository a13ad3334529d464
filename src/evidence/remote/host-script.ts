import { shellWord } from "../../model/shell-word.ts";
import { isUserName } from "../../system/processes/users.ts";

/** The word that every line of the answer begins with: login shells and banners may say things of their own. */
export const answerPrefix = "trainlock-probe";

/** What one host is asked, for all the locks of a call that may concern it. */
export interface HostWish {
  readonly pids: readonly number[];
  /** The PIDs that processes have inside nested PID namespaces, too. */
  readonly containers: boolean;
  /** PID namespaces of containers, by inode: whether anybody is in them. */
  readonly namespaces: readonly number[];
  /** Claims whose processes are looked for by their environment: tokens, 32 hex digits each. */
  readonly tokens: readonly string[];
  /** Users by name, all of whose processes are listed where their environments are closed to who asks there. */
  readonly users: readonly string[];
  /** Folders, without links on the way to them: who has files in them open. */
  readonly folders: readonly string[];
  /** Lock files to be tried there, by absolute path. */
  readonly locks: readonly string[];
}

/**
 * What a host is asked, for `sh` with nothing but /proc: its boot id, name, PID namespace, and of each process its ids and
 * stat line. The search for a training's processes and the trial of a lock need grep, tr and flock; without them the answer says
 * that nobody has looked.
 */
export function hostScript({ pids, containers, namespaces, tokens, users, folders, locks }: HostWish): string {
  const wanted = tokens.filter((token) => /^[0-9a-f]{32}$/.test(token)).map((token) => `-e TRAINLOCK_TOKEN=${token}`);
  return `${functions}
pids=" ${pids.join(" ")} "
facts
mine
${containers ? "inside" : ":"}
for p in $pids; do
  if about "$p"; then shown "$p"; elif kill -0 "$p" 2>/dev/null; then say signals "$p"; fi
done
${namespaces.length > 0 ? `spaces ${namespaces.join(" ")}` : ":"}
${wanted.length > 0 ? `carriers ${wanted.join(" ")}` : ":"}
${users.length > 0 ? `users ${users.filter(isUserName).map(shellWord).join(" ")}` : ":"}
${folders.length > 0 ? `opened ${folders.map((path) => `-e ${shellWord(` -> ${path}/`)}`).join(" ")}` : ":"}
${locks.map((path, n) => `lock ${n} ${shellWord(path)}`).join("\n")}
say end
`;
}

/** `2>/dev/null` stands before `<`: a file that is gone must not be reported. The shell's own pid is its clock. */
const functions = `
say() { printf '%s %s\\n' "${answerPrefix}" "$*"; }
has() { command -v "$1" >/dev/null 2>&1; }
first() { x=; { IFS= read -r x; } 2>/dev/null <"$1"; printf '%s\\n' "$x"; }
facts() {
  say boot "$(first /proc/sys/kernel/random/boot_id)"
  while read -r k a; do [ "$k" = btime ] && say btime "$a"; done 2>/dev/null </proc/stat
  say host "$(first /proc/sys/kernel/hostname)"
  say machine "$(first /etc/machine-id)"
  ns=
  { exec 3</proc/self/ns/pid; } 2>/dev/null && {
    while read -r k v; do [ "$k" = ino: ] && ns=$v; done 2>/dev/null </proc/self/fdinfo/3
    exec 3<&-
  }
  [ -n "$ns" ] || ns=$(readlink /proc/$$/ns/pid 2>/dev/null)
  say ns "$ns"
  while read -r d m t o r; do
    [ "$m" = /proc ] && say proc "$t $o"
    [ "$m $t" = "/dev devtmpfs" ] && say zero "$(stat -c %Z /dev/zero 2>/dev/null)"
  done 2>/dev/null </proc/mounts
  say self $$
  about $$
  me=$u
}
mine() {
  p=$$
  while [ "\${p:-0}" -gt 1 ]; do
    say own "$p"
    q=0
    while read -r k a r; do [ "$k" = PPid: ] && q=$a && break; done 2>/dev/null <"/proc/$p/status"
    p=$q
  done
}
about() {
  u= g= s=
  while read -r k a b r; do
    case $k in Tgid:) g=$a ;; Uid:) u=$b; break ;; esac
  done 2>/dev/null <"/proc/$1/status"
  { IFS= read -r s; } 2>/dev/null <"/proc/$1/stat"
  if [ -n "$g" ] && [ -n "$s" ]; then say pid "$1" "$g" "$u" "$s"; return 0; fi
  [ -d "/proc/$1" ] && say hidden "$1"
  return 1
}
lines=0
shown() {
  lines=$((lines + 1))
  [ $lines -le 20 ] && has tr && say line "$1" "$(tr '\\0\\n' '\\t ' 2>/dev/null <"/proc/$1/cmdline")"
}
inside() {
  for f in /proc/[0-9]*/status; do
    while read -r k a r; do
      case $k in NSpid:) [ -n "$r" ] && nested "$a" $r; break ;; esac
    done 2>/dev/null <"$f"
  done
}
nested() {
  outer=$1
  shift
  for n; do case $pids in *" $n "*) say nested "$outer" "$n"; about "$outer" ;; esac; done
}
spaces() {
  x=
  for n; do case $ns in "$n" | "pid:[$n]") ;; *) x=1 ;; esac; done
  if [ -z "$x" ] || ! has ls; then return; fi
  before=$(echo /proc/[0-9]*)
  l=$(ls -ln /proc/[0-9]*/ns/pid 2>/dev/null)
  for n; do case $l in *" pid:[$n]"*) say space "$n" ;; esac; done
  known=" 1 "
  while IFS= read -r v; do
    case $v in *'/ns/pid -> pid:['*) v=\${v##* /proc/} known="$known\${v%%/*} " ;; esac
  done <<LINKS
$l
LINKS
  ours=0 others=0
  for f in $before; do
    case $known in *" \${f#/proc/} "*) continue ;; esac
    s= u=
    while read -r k a b r; do
      case $k in State:) s=$a ;; Uid:) u=$b; break ;; esac
    done 2>/dev/null <"$f/status"
    case $s in
      '' | Z | X) ;;
      *) if [ "$u" = "$me" ]; then ours=$((ours + 1)); else others=$((others + 1)); fi ;;
    esac
  done
  say spaces "$ours" "$others"
}
carriers() {
  if ! has grep || ! has tr; then say unsearched; return; fi
  for f in $(grep -lF "$@" /proc/[0-9]*/environ 2>/dev/null); do
    p=\${f#/proc/} p=\${p%/environ}
    about "$p" && shown "$p"
    say carrier "$p"
    tr '\\0' '\\n' 2>/dev/null <"$f" | while IFS= read -r v; do
      case $v in
        TRAINLOCK_TOKEN=* | SLURM_JOB_ID=* | SLURM_ARRAY_*_ID=* | SLURM_RESTART_COUNT=* | SLURM_CLUSTER_NAME=* | LSB_JOBID=* | LSB_JOBINDEX=* | \\
        LSB_REQUEUE_NUM=* | PBS_JOBID=* | PBS_ARRAY_INDEX=* | SGE_ROOT=* | JOB_ID=* | SGE_TASK_ID=* | RESTARTED=*)
          say var "$p" "$v" ;;
      esac
    done
  done
}
users() {
  ids=" "
  for n; do
    i=$(id -u "$n" 2>/dev/null) || continue
    say user "$i" "$n"
    [ "$i" != "$me" ] && ids="$ids$i "
  done
  if [ "$me" = 0 ] || [ "$ids" = " " ]; then return; fi
  for f in /proc/[0-9]*/status; do
    while read -r k a b r; do
      case $k in Uid:) break ;; esac
    done 2>/dev/null <"$f"
    p=\${f#/proc/}
    case $ids in *" $b "*) about "\${p%/status}" ;; esac
  done
}
opened() {
  if ! has ls || ! has grep; then say unlisted; return; fi
  ls -ln /proc/[0-9]*/fd 2>/dev/null | grep -F "$@" -e /fd: | while IFS= read -r v; do
    case $v in
      /proc/*/fd:) p=\${v#/proc/} p=\${p%/fd:} ;;
      l*' -> '*) about "$p" && say open "$p" "\${v%% *}" "\${v#* -> }" && shown "$p" ;;
    esac
  done
}
lock() {
  if ! [ -f "$2" ] || ! [ -r "$2" ] || ! has flock; then return; fi
  (
    flock -n -s 8
    r=$?
    flock -u 8
    case $r in
      0) say lock "$1" free "$(stat -L -c %i /proc/self/fd/8)" ;;
      1)
        # Whoever asks may hold it, where locks leave their host: only what this kernel lists is held here.
        i=$(stat -L -c %i /proc/self/fd/8)
        grep -q ":$i " /proc/locks && say lock "$1" held "$i"
        ;;
    esac
  ) 2>/dev/null 8<"$2"
}
`;
