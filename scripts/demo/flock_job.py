#!/usr/bin/env python3
"""A Python training job as clusters have had them for years: a kernel lock on a file in the shared lock folder.

It knows nothing of trainlock and never looks at marker files.

    flock_job.py STRATEGY DATASET MODEL SECONDS
"""

import datetime
import fcntl
import getpass
import json
import os
import signal
import socket
import sys
import time


def main() -> int:
    strategy, dataset, model, seconds = sys.argv[1:5]
    dataset = dataset.lower().replace("-", "_")
    folder = os.path.join(os.environ["TRAINLOCK_ROOT"], "training_locks")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{strategy}_{dataset}_{model}.lock")

    # Mode "w" empties the file before it is known whether the lock can be had. A poor choice, and a common one.
    lock_file = open(path, "w")
    try:
        fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Python job: locked by another process, nothing to do")
        return 1

    owner = {
        "strategy": strategy,
        "dataset": dataset,
        "model": model,
        "ratio": None,
        "aux_loss": None,
        "job_id": os.environ.get("LSB_JOBID", "unknown"),
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "user": getpass.getuser(),
        "acquired_at": datetime.datetime.now().isoformat(),
    }
    json.dump(owner, lock_file, indent=2)
    lock_file.flush()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        print(f"Python job (PID {os.getpid()}) has its lock and trains", flush=True)
        time.sleep(float(seconds))
    finally:
        fcntl.flock(lock_file, fcntl.LOCK_UN)
        lock_file.close()
        os.unlink(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
