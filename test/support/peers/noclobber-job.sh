#!/usr/bin/env bash
# A retrain job script as clusters run it: the marker is created under noclobber and removed by a trap.
#
#   noclobber-job.sh MARKER [COMMAND…]
#
# HELD and a wait until stdin closes, a signal or the end of COMMAND; or SKIP and exit code 1.

marker=$1
shift
mkdir -p "$(dirname "$marker")"

# The redirection creates the file first and echo fills it afterwards: readers may meet an empty marker.
if ! (
  set -o noclobber
  echo "$$" >"$marker"
) 2>/dev/null; then
  echo "SKIP: Another job (PID: $(cat "$marker" 2>/dev/null)) is already training this model"
  exit 1
fi
trap 'rm -f "$marker"' EXIT

echo HELD
if [ $# -gt 0 ]; then
  trap 'exit 143' TERM
  # In the background with `wait`, because bash runs a trap only when no foreground command is left.
  "$@" &
  wait $!
else
  # A builtin waits, so that no child process stands between a signal and the trap.
  while IFS= read -r _; do :; done
fi
