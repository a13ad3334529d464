"""A lock tool of one file, as sites have it: `check` and `list` of both kinds of lock, with the imports that its records, its
waiting and its question by ssh need. Stands for what users type today; fcntl_check.py is the least that Python can do.

  lock_tool.py check --root DIR --strategy S --dataset D --model M
  lock_tool.py list --root DIR
"""

import argparse
import fcntl
import getpass
import glob
import json
import os
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Optional


def names(arguments) -> "tuple[Path, Path]":
    dataset = arguments.dataset.lower()
    lock = f"{arguments.strategy}_{dataset.replace('-', '_')}_{arguments.model}.lock"
    weights = Path(arguments.root, "WEIGHTS", arguments.strategy, f"{dataset}_cd", arguments.model)
    return Path(arguments.root, "training_locks", lock), weights / ".training_lock"


def owner_record(arguments) -> dict:
    return {
        "strategy": arguments.strategy,
        "dataset": arguments.dataset.lower().replace("-", "_"),
        "model": arguments.model,
        "job_id": os.environ.get("LSB_JOBID", "unknown"),
        "hostname": socket.gethostname(),
        "pid": os.getpid(),
        "user": getpass.getuser(),
        "acquired_at": datetime.now().isoformat(),
    }


def acquire(path: Path, arguments, timeout: float) -> Optional[object]:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = open(path, "w")
    deadline = time.time() + timeout
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            json.dump(owner_record(arguments), file, indent=2)
            file.flush()
            return file
        except OSError:
            if time.time() > deadline:
                return None
            time.sleep(1)


def runs_on(host: str, pid: int) -> bool:
    return subprocess.run(["ssh", "-o", "ConnectTimeout=5", host, f"kill -0 {pid}"]).returncode == 0


def runs_here(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def is_held(path: Path) -> bool:
    if not path.exists():
        return False
    with open(path, "r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        fcntl.flock(file, fcntl.LOCK_UN)
        return False


def check(arguments) -> int:
    lock, marker = names(arguments)
    if is_held(lock) or (marker.exists() and runs_here(int(marker.read_text()))):
        print("[PRE-FLIGHT CHECK FAILED]", file=sys.stderr)
        return 1
    print(f"FREE {arguments.strategy}/{arguments.dataset.lower()}/{arguments.model}")
    return 0


def list_locks(arguments) -> int:
    markers = sorted(glob.glob(os.path.join(arguments.root, "WEIGHTS", "*", "*", "*", ".training_lock")))
    print(f"=== File-based locks (.training_lock) ({len(markers)}) ===")
    for marker in markers:
        with open(marker) as file:
            pid = int(file.read())
        label = "ACTIVE" if runs_here(pid) else "UNKNOWN - remote process"
        started = datetime.fromtimestamp(os.path.getmtime(marker)).isoformat()
        print(f"  - {os.path.dirname(marker)} [{label}]\n    PID: {pid}, Started: {started}\n    Lock file: {marker}")
    held = [path for path in glob.glob(os.path.join(arguments.root, "training_locks", "*.lock")) if is_held(Path(path))]
    print(f"\nTotal locks: {len(markers) + len(held)}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(required=True)
    checking = commands.add_parser("check")
    for name in ("--strategy", "--dataset", "--model"):
        checking.add_argument(name, required=True)
    checking.set_defaults(action=check)
    listing = commands.add_parser("list")
    listing.set_defaults(action=list_locks)
    for command in (checking, listing):
        command.add_argument("--root", required=True)
    arguments = parser.parse_args()
    return arguments.action(arguments)


if __name__ == "__main__":
    sys.exit(main())
