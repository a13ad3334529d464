#!/usr/bin/env bash
# The main job from end to end on a temporary root, every line of output real: old job scripts hold their locks, trainlock
# sees them and is kept out, trains a third configuration, keeps the others out in turn, and clears what a killed job
# left behind. `npm run demo` installs and builds first. Ends with an error when a step does not behave as it should.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

if [[ ! -x dist/trainlock ]]; then
  echo "dist/trainlock is not there: run \`npm run demo\`, which builds it first" >&2
  exit 1
fi
PATH="$PWD/dist:$PATH"
# A short path, so that the lines fit in 80 columns.
TRAINLOCK_ROOT=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXXX") || exit
export PATH TRAINLOCK_ROOT

declare -A running=()
# signal_running SIGNAL: true while any of them is there.
signal_running() {
  local pid any=1
  for pid in "${!running[@]}"; do kill "-$1" -- "-$pid" 2>/dev/null && any=0; done
  return $any
}
clean_up() {
  # TERM first: `trainlock run` passes it on to its command, which is in a process group of its own.
  signal_running TERM
  for _ in {1..40}; do
    signal_running 0 || break
    sleep 0.05
  done
  signal_running KILL
  rm -rf "$TRAINLOCK_ROOT"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

bold='' dim='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi

title() { printf '\n%s── %s%s\n' "$bold" "$1" "$plain"; }
note() { printf '%s%s%s\n' "$dim" "$1" "$plain"; }
fail() {
  printf 'demo: %s\n' "$1" >&2
  exit 1
}

# Prints a command line as one would type it, broken before column 78: never between an option and its value, and what
# follows `--` in one piece where it fits.
print_command() {
  local words=() units=() line='$' unit word
  for word in "$@"; do
    [[ $word == *[[:space:]\;\|\$]* ]] && word="'$word'"
    words+=("$word")
  done
  set -- "${words[@]}"
  while (($# > 0)); do
    unit=$*
    if [[ $1 == -- && ${#unit} -le 71 ]]; then
      units+=("$*")
      break
    fi
    if [[ $1 == --?* && $# -gt 1 && ${2-} != -* ]]; then
      units+=("$1 $2")
      shift
    else
      units+=("$1")
    fi
    shift
  done
  for unit in "${units[@]}"; do
    if ((${#line} + ${#unit} > 75)); then
      printf '%s%s \\%s\n' "$bold" "$line" "$plain"
      line='   '
    fi
    line+=" $unit"
  done
  printf '%s%s%s\n' "$bold" "$line" "$plain"
}

# show EXIT_CODE TEXT COMMAND…: prints the command and what it says; the code must be that one, the text must be in it.
show() {
  local expected=$1 text=$2 output code
  shift 2
  print_command "$@"
  output=$("$@" 2>&1 </dev/null)
  code=$?
  [[ -z $output ]] || printf '%s\n' "$output"
  ((code == 0)) || note "(exit $code)"
  ((code == expected)) || fail "expected exit $expected, got $code"
  [[ $output == *"$text"* ]] || fail "expected the output to say: $text"
}

# start FILE COMMAND…: a job in a process group of its own, its output in FILE; sets $job.
start() {
  local output=$1
  shift
  print_command "$@" '&'
  set -m
  "$@" >"$output" 2>&1 </dev/null &
  job=$!
  set +m
  running[$job]=1
}

# wait_until WHAT COMMAND…: at most ten seconds.
wait_until() {
  local what=$1
  shift
  for _ in {1..200}; do
    "$@" >/dev/null 2>&1 && return
    sleep 0.05
  done
  fail "waited ten seconds for $what"
}

# ended PID: waits for a job of ours; its exit code is the function's.
ended() {
  unset "running[$1]"
  wait "$1"
}

# killed PID TARGET…: shows and does the kill of a job, without bash's notice of it.
killed() {
  print_command kill -KILL "${@:2}"
  {
    kill -KILL "${@:2}"
    ended "$1"
  } 2>/dev/null
}

# gone PID: not there, or nobody has asked for its exit code yet.
gone() { ! kill -0 "$1" 2>/dev/null || grep -q ') Z ' "/proc/$1/stat" 2>/dev/null; }

# The jobs of the old kind are those that the tests start: they know nothing of trainlock.
peers=test/support/peers
lock_file() { echo "$TRAINLOCK_ROOT/training_locks/$1_idd_aw_unet.lock"; }
weights() { echo "$TRAINLOCK_ROOT/WEIGHTS/$1/idd-aw_cd/unet"; }
configuration() { printf '%s\n' --strategy "$1" --dataset IDD-AW --model unet; }
mapfile -t baseline < <(configuration baseline)
mapfile -t mixup < <(configuration mixup)
mapfile -t cutmix < <(configuration cutmix)
output="$TRAINLOCK_ROOT/output"
mkdir "$output" || exit

python=1
if ! python3 -c 'import fcntl' 2>/dev/null; then
  python=0
  echo 'SKIPPED: python3 is not installed. The steps with a Python job are left out,'
  echo 'and a shell script takes the place of the training.'
fi
if ((python)); then
  training=(python3 scripts/demo/train.py --seconds-per-iteration 0.03)
else
  training=(bash scripts/demo/train.sh)
fi

title 'Two jobs of the old kind are running. Neither can see the lock of the other.'
print_command export "TRAINLOCK_ROOT=$TRAINLOCK_ROOT"
start "$output/bash" bash "$peers/noclobber-job.sh" "$(weights baseline)/.training_lock" sleep 300
bash_job=$job
wait_until 'the marker of the bash job' test -s "$(weights baseline)/.training_lock"
cat "$output/bash"
if ((python)); then
  start "$output/python" python3 "$peers/flock_job.py" hold "$(lock_file mixup)" "${mixup[@]}" --seconds 300
  python_job=$job
  wait_until 'the lock of the Python job' grep -q HELD "$output/python"
  cat "$output/python"
fi

title 'trainlock sees both kinds.'
show 0 '[ACTIVE]' trainlock list

title 'What they hold, nobody else trains.'
show 75 'is already training' trainlock run "${baseline[@]}" -- "${training[@]}"
((python)) && show 75 'is already training' trainlock run "${mixup[@]}" -- "${training[@]}"
show 1 '[PRE-FLIGHT CHECK FAILED]' trainlock check "${baseline[@]}"

title 'A third configuration is free: trainlock takes both locks and trains it.'
show 0 'FREE cutmix/idd-aw/unet' trainlock check "${cutmix[@]}"
start "$output/run" trainlock run "${cutmix[@]}" --done-when iter_120.pth -- "${training[@]}"
training_job=$job
wait_until 'the marker of the training' test -s "$(weights cutmix)/.training_lock"

title 'Whoever comes second is turned away, whichever lock it knows.'
show 75 'is already training' trainlock run "${cutmix[@]}" -- "${training[@]}"
show 1 'SKIP' bash "$peers/noclobber-job.sh" "$(weights cutmix)/.training_lock" sleep 300
((python)) && show 1 'locked by another' python3 "$peers/flock_job.py" hold "$(lock_file cutmix)" "${cutmix[@]}" --seconds 300
show 0 "$(weights cutmix)/.training_lock" trainlock list
show 0 'No stale locks found' trainlock clear

title 'The training ends, and its locks with it.'
note '(output of the training above)'
ended "$training_job"
code=$?
cat "$output/run"
note "(exit $code)"
((code == 0)) || fail "the training ended with $code"
show 0 'iter_120.pth' ls "$(weights cutmix)"

title 'Once trained, it is not trained again.'
show 0 'SKIP: Final checkpoint already exists' \
  trainlock run "${cutmix[@]}" --done-when iter_120.pth -- "${training[@]}"

title 'The bash job is killed. Its marker stays behind, and is found out.'
killed "$bash_job" -- "-$bash_job"
if trainlock list | grep -q 'UNKNOWN - other container'; then
  echo 'SKIPPED: in this container a process number proves nothing, so that trainlock'
  echo 'says UNKNOWN where it says STALE on an ordinary host.'
  show 0 'UNKNOWN - other container' trainlock list --file-only
  show 0 'Cleared' trainlock clear --file-only --force --no-dry-run
else
  show 0 'STALE - PID not running' trainlock list --file-only
  show 0 'Found 1 stale lock (dry run)' trainlock clear
  show 0 'Cleared 1 stale lock' trainlock clear --no-dry-run
fi

title 'If only the wrapper is killed, its command trains on and keeps the lock.'
start "$output/wrapper" trainlock run "${baseline[@]}" -- bash -c 'echo $$; exec sleep 300'
wrapper=$job
wait_until 'the command to start' test -s "$output/wrapper"
command_pid=$(cat "$output/wrapper")
running[$command_pid]=1
killed "$wrapper" "$wrapper"
show 0 '[ACTIVE]' trainlock list --file-only
show 75 'is already training' trainlock run "${baseline[@]}" -- "${training[@]}"

title 'If the command dies too, the next run takes over by itself.'
print_command kill -KILL "$command_pid"
kill -KILL "$command_pid"
wait_until 'the command to end' gone "$command_pid"
unset "running[$command_pid]"
show 0 'STALE' trainlock list --file-only
show 0 'generation 2' trainlock run "${baseline[@]}" -- bash -c 'echo training as generation $TRAINLOCK_GENERATION'

if ((python)); then
  title 'The Python job ends as it always did.'
  print_command kill "$python_job"
  kill "$python_job"
  ended "$python_job"
fi
show 0 'No active training locks' trainlock list

title 'That is all. Nothing of it is left: the temporary root is removed.'
