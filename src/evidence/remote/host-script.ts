/** The word that every line of the answer begins with: login shells and banners may say things of their own. */
export const answerPrefix = "trainlock-probe";

/**
 * What a host is asked, for `sh` with nothing but /proc: its boot id, name, PID namespace, and of each process its ids and
 * stat line. With `containers`, the PIDs that processes have inside nested PID namespaces, too. Only numbers of ours go in.
 */
export function hostScript(pids: readonly number[], containers: boolean): string {
  return `${functions}
facts
${containers ? "inside" : ":"}
for p in ${pids.join(" ")}; do about "$p"; done
say end
`;
}

/** `2>/dev/null` stands before `<`: a file that is gone must not be reported. The shell's own pid is its clock. */
const functions = `
say() { echo "${answerPrefix} $*"; }
first() { x=; { IFS= read -r x; } 2>/dev/null <"$1"; echo "$x"; }
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
  done 2>/dev/null </proc/mounts
  say self $$
  about $$
}
about() {
  u= g= s=
  while read -r k a b r; do
    case $k in Tgid:) g=$a ;; Uid:) u=$b; break ;; esac
  done 2>/dev/null <"/proc/$1/status"
  { IFS= read -r s; } 2>/dev/null <"/proc/$1/stat"
  if [ -n "$g" ] && [ -n "$s" ]; then say pid "$1" "$g" "$u" "$s"; return; fi
  [ -d "/proc/$1" ] && say hidden "$1"
}
inside() {
  for f in /proc/[0-9]*/status; do
    while read -r k a r; do
      case $k in NSpid:) [ -n "$r" ] && say nested "$r"; break ;; esac
    done 2>/dev/null <"$f"
  done
}
`;
