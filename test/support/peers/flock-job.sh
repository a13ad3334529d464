#!/usr/bin/env bash
# A job script that locks with flock(1) on an inherited descriptor, and describes itself in the lock file.
#
#   flock-job.sh LOCK_FILE STRATEGY DATASET MODEL [COMMAND…]
#
# HELD and a wait until stdin closes, a signal or the end of COMMAND; or SKIP and exit code 1.

LOCK_FILE=$1 strategy=$2 dataset=$3 model=$4
shift 4
mkdir -p "$(dirname "$LOCK_FILE")"

# Opening for writing empties the file before anybody knows whether the lock is free: that is how these scripts are.
exec 200>"$LOCK_FILE"
if ! flock -n 200; then
  echo "SKIP: locked by another job: $LOCK_FILE"
  exit 1
fi

release() {
  flock -u 200
  rm -f "$LOCK_FILE"
}
trap release EXIT

# Strings only, `started` where others say `acquired_at`, and no pid.
printf '{"strategy": "%s", "dataset": "%s", "model": "%s", "job_id": "%s", "hostname": "%s", "user": "%s", "started": "%s"}\n' \
  "$strategy" "$dataset" "$model" "${LSB_JOBID:-unknown}" "$(hostname)" "$(id -un)" "$(date +%Y-%m-%dT%H:%M:%S)" >&200

echo HELD
if [ $# -gt 0 ]; then
  "$@"
else
  while IFS= read -r _; do :; done
fi
