#!/usr/bin/env bash
# A job script as clusters have had them for years: bash alone guards the weights folder with a marker file that holds
# its process number. It knows nothing of trainlock.
#
#   noclobber-job.sh WEIGHTS_DIR COMMAND [ARGUMENT…]

weights_dir=${1:?"usage: noclobber-job.sh WEIGHTS_DIR COMMAND…"}
shift
marker="$weights_dir/.training_lock"
mkdir -p "$weights_dir" || exit

# noclobber makes `>` fail where the file exists; the parentheses keep the option to this one line.
if ! (
  set -o noclobber
  echo "$$" >"$marker"
) 2>/dev/null; then
  echo "SKIP: PID $(cat "$marker" 2>/dev/null) is already training in this folder"
  exit 0
fi
trap 'rm -f "$marker"' EXIT
trap 'exit 143' TERM

echo "bash job (PID $$) has its marker and trains"
# In the background with `wait`, because bash runs a trap only when no foreground command is left.
"$@" &
wait $!
