#!/usr/bin/env python3
"""A Python job that locks with fcntl.flock the way the training_lock.py of clusters does, faults included.

  flock_job.py hold LOCK_FILE --strategy S --dataset D --model M [--ratio R] [--aux-loss A] [--seconds N]
      HELD and a wait until stdin closes, a signal arrives or N seconds are over; or SKIP and exit code 1
  flock_job.py is-locked LOCK_FILE
      LOCKED and exit code 1, or FREE and exit code 0
  flock_job.py list LOCK_DIR [--forever]
      one line a held lock
  flock_job.py clear LOCK_DIR [--forever]
      removes every lock file that nobody holds
"""

import argparse
import datetime
import fcntl
import getpass
import json
import os
import pathlib
import signal
import socket
import sys
import time


def try_lock(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def hold(arguments):
    path = arguments.lock_file
    os.makedirs(os.path.dirname(path), exist_ok=True)
    # Mode "w" empties the file at once, whoever holds the lock: the contender wipes out the holder's record.
    file = open(path, "w")
    if not try_lock(file):
        file.close()
        print(f"SKIP: locked by another job: {path}", flush=True)
        return 1
    json.dump(
        {
            "strategy": arguments.strategy,
            "dataset": arguments.dataset.lower().replace("-", "_"),
            "model": arguments.model,
            "ratio": arguments.ratio,
            "aux_loss": arguments.aux_loss,
            "job_id": os.environ.get("LSB_JOBID", "unknown"),
            "hostname": socket.gethostname(),
            "pid": os.getpid(),
            "user": getpass.getuser(),
            "acquired_at": datetime.datetime.now().isoformat(),
        },
        file,
        indent=2,
    )
    file.flush()
    try:
        print("HELD", flush=True)
        if arguments.seconds is None:
            sys.stdin.read()
        else:
            time.sleep(arguments.seconds)
    finally:
        # Unlock, close, unlink: between the first and the last another process may lock the file and lose its name.
        fcntl.flock(file, fcntl.LOCK_UN)
        file.close()
        os.unlink(path)
    return 0


def probe(path, if_free=None):
    """Whether somebody holds the lock, found out by holding it for an instant."""
    try:
        file = open(path, "r+")
    except FileNotFoundError:
        return False
    with file:
        if not try_lock(file):
            return True
        if if_free is not None:
            if_free()
        fcntl.flock(file, fcntl.LOCK_UN)
        return False


def is_locked(arguments):
    locked = probe(arguments.lock_file)
    print("LOCKED" if locked else "FREE", flush=True)
    return 1 if locked else 0


def list_locks(arguments):
    for path in sorted(pathlib.Path(arguments.lock_dir).glob("*.lock")):
        if probe(path):
            print(f"LOCKED {path}", flush=True)
    return 0


def clear(arguments):
    for path in sorted(pathlib.Path(arguments.lock_dir).glob("*.lock")):
        probe(path, if_free=lambda: path.unlink(missing_ok=True))
    return 0


def repeated(action):
    def run(arguments):
        while arguments.forever:
            action(arguments)
        return action(arguments)

    return run


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)

    holding = commands.add_parser("hold")
    holding.add_argument("lock_file")
    for name in ("--strategy", "--dataset", "--model"):
        holding.add_argument(name, required=True)
    holding.add_argument("--ratio", type=float)
    holding.add_argument("--aux-loss")
    holding.add_argument("--seconds", type=float)
    holding.set_defaults(action=hold)

    asking = commands.add_parser("is-locked")
    asking.add_argument("lock_file")
    asking.set_defaults(action=is_locked)

    for name, action in (("list", list_locks), ("clear", clear)):
        going_through = commands.add_parser(name)
        going_through.add_argument("lock_dir")
        going_through.add_argument("--forever", action="store_true")
        going_through.set_defaults(action=repeated(action))

    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return arguments.action(arguments)


if __name__ == "__main__":
    sys.exit(main())
