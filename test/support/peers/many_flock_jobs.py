#!/usr/bin/env python3
"""Many Python jobs in one process: holds the kernel lock of each line of JSON that it reads, with the record in it.

{"path": LOCK_FILE, "record": {…}} takes a lock, {"release": LOCK_FILE} gives it back as those jobs do. Each is answered by
its path. All are given back when the input ends.
"""

import fcntl
import json
import os
import sys

held = {}
for line in sys.stdin:
    asked = json.loads(line)
    path = asked.get("release") or asked["path"]
    if "release" in asked:
        os.unlink(path)
        held.pop(path).close()
    else:
        held[path] = open(path, "w")
        fcntl.flock(held[path], fcntl.LOCK_EX | fcntl.LOCK_NB)
        json.dump({**asked["record"], "pid": os.getpid()}, held[path])
        held[path].flush()
    print(path, flush=True)
