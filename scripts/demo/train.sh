#!/usr/bin/env bash
# What the demo runs where there is no Python: it trains nothing, but takes its time and leaves checkpoint files.
for iteration in 40 80 120; do
  sleep 1
  head -c 1544 /dev/urandom >"$TRAINLOCK_WEIGHTS_DIR/iter_$iteration.pth"
  echo "saved iter_$iteration.pth"
done
