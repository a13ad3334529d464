#!/usr/bin/env bash
# What trains a row of a whole lab's grid: it notes from when to when it runs, by its own clock and not by any lock.
#
#   row.sh ROOT NAME WEIGHTS
#
# Lines of its own file in ROOT/ran: `start TIME HOST PID JOB`, `beat TIME` four times a second, at last `ok TIME` once the
# checkpoint is there. TIME is in nanoseconds of the clock that all hosts share.
# A model called bad… fails, one called long… trains for 20 s, or with the first strategies and datasets until there is ROOT/go (for
# 20 minutes at most: few enough that others still get their turn), others for 1.5 s.
set -eu
root=$1 name=$2 weights=$3
umask 002
case $name in */bad*) beats=0 ;; s[123]/d[12]/long*) beats=4800 ;; */long*) beats=80 ;; *) beats=6 ;; esac
now() { printf '%s %s000' "$1" "${EPOCHREALTIME/./}"; }
mkdir -p "$root/ran/${name//\//+}"
exec 7>>"$root/ran/${name//\//+}/$HOSTNAME-$$-$EPOCHREALTIME"
job=${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID}
echo "$(now start) $HOSTNAME $$ ${job:-${SLURM_JOB_ID:-none}}" >&7
((beats > 0)) || { echo "this row always fails" >&2; exit 3; }
# A clock that costs no process: nothing is ever written there.
exec 8<> <(:)
for ((beat = 1; beat <= beats; beat++)); do
  read -rt 0.25 -u 8 || true
  now beat >&7
  echo >&7
  ((beat % 8)) || : >"$weights/iter_$beat.pth"
  ((beats < 4800)) || [[ ! -e $root/go ]] || break
done
head -c 2048 /dev/zero >"$weights/final.pth"
now ok >&7
echo >&7
