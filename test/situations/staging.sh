# What the situations are staged with: sourced by bash before the lines of a situation, with
#   T the executable, A the arguments that name the configuration, R the root, W the weights dir, M the marker, L the lock file,
#   J the record beside the marker, S a folder for staging's own notes, P the folder of the old writers,
#   PIDS the PID namespace in which PIDs are noted.
# Whatever is started in the background notes itself with `also`, so that it is ended with the situation.

# Numbers of a container are another's out here, and are not noted; nor is one without its start, by which it is known again.
also() {
  [ "$(readlink /proc/self/ns/pid)" = "$PIDS" ] || return 0
  line=$(<"/proc/$1/stat") 2>/dev/null || return 0
  set -- "$1" ${line##*) }
  echo "$1 ${21}" >>"$S/pids"
}
also $$
mkdir -p "$W" "${L%/*}"

ready() { : >"$S/ready"; }
# What holds goes on for as long as the situation.
rest() { ready; exec sleep 600; }
settle() { until "$@" >/dev/null 2>&1; do sleep 0.02; done; }
gone() { ! kill -0 "$1"; }
die() { kill -9 "$@"; for p; do settle gone_or_zombie "$p"; done; }
gone_or_zombie() { ! grep -qs '^State:.[^ZX]' "/proc/$1/status"; }

# A `run` whose command is $1, or sleeps; leaves $wrapper and $command.
run() {
  command_line=${1:-exec sleep 600} "$T" run $A --scheduler "${scheduler:-none}" -- \
    sh -c 'echo $$ >"$S/command"; eval "$command_line"' </dev/null >/dev/null 2>&1 &
  wrapper=$!
  also $wrapper
  settle test -s "$S/command"
  command=$(<"$S/command")
  also "$command"
  settle grep -q '"child_pid": [0-9]' "$J"
}

# The same in a step of the job; leaves $srun, and the wrapper's PID in $S/wrapper.
in_step() {
  export scheduler STAGING command_line="$1"
  srun --overlap -n1 bash -c '. "$STAGING"; run "$command_line"; echo $wrapper >"$S/wrapper"; wait $wrapper' &
  srun=$!
  also $srun
  settle test -s "$S/wrapper"
}

# The three writers that were there before; each leaves its PID in $job.
noclobber() {
  mkfifo "$S/end" 2>/dev/null || true
  bash "$P/noclobber-job.sh" "$M" 0<>"$S/end" >"$S/said" 2>&1 &
  job=$!
  also $job
  settle grep -q HELD "$S/said"
}
python() {
  mkfifo "$S/end" 2>/dev/null || true
  python3 "$P/flock_job.py" hold "$L" --strategy baseline --dataset IDD-AW --model deeplabv3plus_r50 0<>"$S/end" \
    >"$S/said" 2>&1 &
  job=$!
  also $job
  settle grep -q HELD "$S/said"
}
flocked() {
  mkfifo "$S/end" 2>/dev/null || true
  bash "$P/flock-job.sh" "$L" baseline idd_aw deeplabv3plus_r50 0<>"$S/end" >"$S/said" 2>&1 &
  job=$!
  also $job
  settle grep -q HELD "$S/said"
}

# A shell line in a PID namespace of its own, whose first process is that shell; $inside is its PID out here.
container() {
  unshare --pid --fork --mount-proc --kill-child bash -c ". '$STAGING'; $1" </dev/null >/dev/null 2>&1 &
  also $!
  box=$!
  settle grep -q . "/proc/$box/task/$box/children"
  read -r inside _ <"/proc/$box/task/$box/children"
  also "$inside"
}
# A process that is nobody's child, as what a script leaves behind; $left is its PID.
leave() {
  setsid bash -c 'echo $$ >"$S/left.new" && mv "$S/left.new" "$S/left" && '"$1" </dev/null >/dev/null 2>&1 &
  settle test -s "$S/left"
  left=$(<"$S/left")
  also "$left"
}
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
# No process has had this number, nor will.
never=4194303
