"""Every marker under a root with its PID, found as the Python tools do: by glob.

  glob_list.py ROOT
"""

import glob
import os
import sys

markers = sorted(glob.glob(os.path.join(sys.argv[1], "WEIGHTS", "*", "*", "*", ".training_lock")))
for marker in markers:
    with open(marker) as file:
        pid = int(file.read())
    try:
        os.kill(pid, 0)
        label = "ACTIVE"
    except ProcessLookupError:
        label = "STALE - PID not running"
    print(f"  - {marker} [{label}]\n    PID: {pid}")
print(f"\nTotal locks: {len(markers)}")
